"""Spans as the request path makes them: a few slots and two readings of the clock.

Nearly all spans are thrown away (at a ratio of 1 %, 99 of 100), so they cost what making an object costs; they become
OpenTelemetry's only when they are exported (tracing_export.py). Whether a trace is exported is decided when its first span
in this process, its root, has ended: where it is sampled, or where something in it failed (a tail decision, as an
OpenTelemetry Collector makes it for all processes together).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from enum import IntEnum
from time import time_ns
from types import TracebackType
from typing import Any

from grpc import StatusCode

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import ReplicaError, status_of
from inferloom.mesh.telemetry.tracing_context import new_span, new_trace, onwards

__all__ = [
    "NOTHING",
    "SERVER_FAULTS",
    "Kind",
    "Nothing",
    "Span",
    "Trace",
    "carried",
    "child",
    "current",
    "detached",
    "tell",
    "trace_id",
]

MOST = 256  # spans of one undecided trace that are kept; a stream may have any number of them
SERVER_FAULTS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)  # a server span of these is an error; others are the caller's (semantic conventions for gRPC)
Attributes = dict[str, str | bool | int | float]


class Kind(IntEnum):
    """OTLP's kinds of spans."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class Trace:
    """One trace, as far as it runs below one root in this process.

    Args:
        trace: its id, 32 hex digits; of a new one the lower 64 bits, the rest is made when it is asked for.
        sink: takes finished spans that are to be exported.
    """

    # What most never set is the class's: no slots, and half the time to make one.
    failed = False
    over = False
    root: Span | None = None
    spans: list[Span] | None = None
    dropped = 0

    def __init__(self, trace: str | int, sampled: bool, sink: Callable[[Span], object]) -> None:
        self._id = trace
        self.sampled = sampled  # decided at its beginning, and said onwards
        self.sink = sink

    @property
    def id(self) -> str:
        if type(self._id) is int:
            self._id = new_trace(self._id)
        return str(self._id)

    def take(self, span: Span) -> None:
        """A span has ended."""
        ended = span is self.root
        if ended:
            self.over = True
            self.root = None  # no cycle: what is thrown away is freed at once, the collector has nothing to look for
        if self.sampled or (self.over and self.failed and not ended):
            span.complete()
            self.sink(span)
        elif ended:
            if self.failed:
                if self.dropped:
                    span.attributes["inferloom.spans_dropped"] = self.dropped
                for each in (*(self.spans or ()), span):
                    each.complete()
                    self.sink(each)
            self.spans = None
        elif self.over:
            return
        elif self.spans is None:
            self.spans = [span]
        elif len(self.spans) < MOST:
            self.spans.append(span)
        else:
            self.dropped += 1


class Span:
    """A piece of work. `with span:` makes it the parent of what is begun inside, and says how it ended.

    Attributes:
        status: "" where there is nothing to say, else the message of an error.
        attempts: replicas asked below it so far.
    """

    links: tuple[tuple[str, str], ...] = ()
    is_error = False
    message = ""
    attempts = 0
    ended = 0  # nanoseconds since 1970, as `began`
    _id = ""
    _later: tuple[Callable[..., Attributes], tuple[Any, ...]] | None = None
    _token: Token[Span | None] | None = None
    _leave: Callable[[], None] | None = None

    def __init__(self, trace: Trace, above: Span | str, name: str, kind: Kind, attributes: Attributes) -> None:
        self.trace = trace
        self._above = above
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.began = time_ns()

    @property
    def id(self) -> str:
        """16 hex digits, made when somebody asks: most spans are thrown away unseen."""
        if not self._id:
            self._id = new_span()
        return self._id

    @property
    def parent(self) -> str:
        """The id of the one above; "" for none."""
        return self._above if isinstance(self._above, str) else self._above.id

    def later(self, make: Callable[..., Attributes], *arguments: Any) -> None:
        """Attributes that are made when they are needed."""
        self._later = make, arguments

    def complete(self) -> None:
        """Have all attributes."""
        if self._later is not None:
            (make, arguments), self._later = self._later, None
            self.attributes = {**make(*arguments), **self.attributes}

    @property
    def traceparent(self) -> str:
        """For whoever is asked below it."""
        return f"00-{self.trace.id}-{self.id}-{'01' if self.trace.sampled else '00'}"

    def child(self, name: str, kind: Kind = Kind.INTERNAL, attributes: Attributes | None = None) -> Span:
        return Span(self.trace, self, name, kind, {} if attributes is None else attributes)

    def set(self, **attributes: str | bool | float) -> None:
        """Attributes of ours: "inferloom." goes before each name."""
        for name, value in attributes.items():
            self.attributes[f"inferloom.{name}"] = value

    def link(self, other: Span) -> None:
        self.links = (*self.links, (other.trace.id, other.id))

    def answered(self) -> None:
        """It was a call over gRPC and ended well."""
        self.attributes["rpc.grpc.status_code"] = 0

    def fail(self, error: BaseException) -> None:
        """How it ended. A cancellation is told apart from an error, and the caller's own fault is no server's."""
        self.complete()
        rpc = "rpc.system" in self.attributes
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.attributes["inferloom.cancelled"] = True
            if rpc:
                self.attributes["rpc.grpc.status_code"] = StatusCode.CANCELLED.value[0]
            return
        status = status_of(error)
        if rpc:
            self.attributes["rpc.grpc.status_code"] = status.code.value[0]
        self.attributes["error.type"] = status.code.name
        if status.code in SERVER_FAULTS:
            self.trace.failed = True
        elif self.kind is Kind.SERVER:
            return
        self.is_error, self.message = True, status.message

    def over(self, code: StatusCode | None, message: str = "") -> None:
        """End a call over gRPC with its status; None: nobody wanted the rest of it."""
        if code is StatusCode.OK:
            self.answered()
        else:
            self.fail(asyncio.CancelledError() if code is None else ReplicaError(code, message or code.name))
        self.end()

    def http_answered(self, status: int) -> None:
        """It was a request over HTTP, with this status code."""
        self.attributes["http.response.status_code"] = status
        if status >= (500 if self.kind is Kind.SERVER else 400):
            self.attributes["error.type"] = str(status)
            self.is_error = True
            self.trace.failed = self.trace.failed or status >= 500

    def end(self) -> None:
        """Once; again is nothing."""
        if not self.ended:
            self.ended = time_ns()
            self.trace.take(self)

    def close(self, error: BaseException | None) -> None:
        """End it, with what was raised unless it is known already how it failed."""
        if error is not None and "error.type" not in self.attributes:
            self.fail(error)
        self.end()

    def __enter__(self) -> Span:
        self._token = current.set(self)
        if entered is not None and self.trace.sampled:
            self._leave = entered(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._leave is not None:
            self._leave()
        token, self._token = self._token, None
        assert token is not None
        # Not where another task closes an async generator: that one's context is none of ours.
        try:  # noqa: SIM105 suppress() costs a microsecond
            current.reset(token)
        except ValueError:
            pass
        self.close(error)


class detached:  # noqa: N801 used as a function
    """`with detached(span):` says how it ended and makes it nobody's parent: for generators, that run in any context."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> Span:
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._span.close(error)


class Nothing:
    """Takes the place of a span where nothing is traced."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        return None


NOTHING = Nothing()
entered: Callable[[Span], Callable[[], None]] | None = (
    None  # is told of sampled spans, and calls back (tracing_bridge.py)
)
current: ContextVar[Span | None] = ContextVar("inferloom_span", default=None)


def child(name: str, kind: Kind = Kind.INTERNAL, attributes: Mapping[str, Any] | None = None) -> Span | Nothing:
    """`with child(...) as span:` a span below the current one; None where nothing is traced."""
    parent = current.get()
    if parent is None:
        return NOTHING
    return parent.child(name, kind, dict(attributes) if attributes else None)


def tell(**attributes: str | bool | float) -> None:
    """Attributes of ours for the current span, if any."""
    span = current.get()
    if span is not None:
        span.set(**attributes)


def carried(metadata: Metadata) -> Metadata:
    """The metadata for whoever is asked from here: below the current span, if any."""
    span = current.get()
    return metadata if span is None else onwards(metadata, span.traceparent)


def trace_id() -> str:
    """Of the request that is worked on here, 32 hex digits; "" where it is not traced."""
    span = current.get()
    return "" if span is None else span.trace.id
