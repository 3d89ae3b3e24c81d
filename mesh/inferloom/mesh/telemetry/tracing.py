"""Traces with OpenTelemetry, off by default at no cost.

The W3C trace context of the caller is forwarded at every hop in any case: it is metadata like any other. With an OTLP
endpoint in the usual environment variables every role adds its own spans, and what is asked below continues them.

Spans are ours and OpenTelemetry's at export (tracing_span.py says why); names and attributes are those of its conventions
for RPC, and `inferloom.*`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from inferloom.mesh.call import Call, Handler, Layer, Metadata, Reply
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import DeadlineExceeded
from inferloom.mesh.telemetry.tracing_attempt import Attempt, traced_attempt
from inferloom.mesh.telemetry.tracing_context import asked, low_bits, remote_of
from inferloom.mesh.telemetry.tracing_rpc import rpc_attributes
from inferloom.mesh.telemetry.tracing_sampling import Sampler, sampler_from_environment
from inferloom.mesh.telemetry.tracing_span import NOTHING, Kind, Nothing, Span, Trace, current

__all__ = ["Tracing", "configured_endpoint", "from_environment", "here", "operation"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
ALL = Sampler()
LATE = 0.010  # seconds before its deadline from which on a cancellation is that deadline: grpc.aio tells it so


class Tracing:
    """What a process adds to be traced; nothing where there is no sink.

    Args:
        sink: takes finished spans.
        close: sends what is left.
    """

    def __init__(
        self,
        sink: Callable[[Span], object] | None = None,
        sampler: Sampler = ALL,
        *,
        close: Callable[[], object] = lambda: None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._sink = sink
        self._sampler = sampler
        self._close = close
        self._clock = clock
        self.on = sink is not None
        self.layers: tuple[Layer, ...] = (self._layer,) if self.on else ()

    def server(self, path: str, metadata: Metadata) -> Span | Nothing:
        """A server's span around a call over gRPC, below the caller's.

        Args:
            path: "/package.Service/Method".
        """
        if self._sink is None:
            return NOTHING
        return self._root(path[1:], Kind.SERVER, metadata, rpc_attributes(path))

    def http(self, method: str, route: str, metadata: Metadata) -> Span | Nothing:
        """The same of an HTTP request. `route` is the path with {names} in it."""
        if self._sink is None:
            return NOTHING
        attributes = {"http.request.method": method, "http.route": route}
        return self._root(f"{method} {route}", Kind.SERVER, metadata, attributes)

    def refused(self, path: str, metadata: Metadata, error: Exception) -> None:
        """A call that was refused before it went into the stack."""
        with self.server(path, metadata) as span:
            if span is not None:
                span.fail(error)

    def operation(self, name: str, **attributes: str | bool | float) -> Span | Nothing:
        """Something rare that the process does by itself: always exported. A part of the one that is under way, if any."""
        above = current.get()
        if self._sink is None:
            return NOTHING
        span = (
            above.child(name)
            if above is not None
            else Span(Trace(low_bits(), True, self._sink), "", name, Kind.INTERNAL, {})
        )
        span.set(**attributes)
        return span

    def activate(self) -> None:
        """Be the one of `operation` in this context and the tasks it begins."""
        _here.set(self)

    def attempt(self, inner: Attempt) -> Attempt:
        """The attempt itself, with a span around it where there is a sink."""
        return traced_attempt(inner) if self.on else inner

    def close(self) -> None:
        """Export what is left; takes 2 seconds at most."""
        self._close()

    def _root(self, name: str, kind: Kind, metadata: Metadata, attributes: dict[str, Any]) -> Span:
        remote = remote_of(metadata) if metadata else None
        low = low_bits() if remote is None else int(remote.trace[16:], 16)
        assert self._sink is not None
        sampled = self._sampler(low, remote) or asked(metadata)
        trace = Trace(low if remote is None else remote.trace, sampled, self._sink)
        trace.root = span = Span(trace, "" if remote is None else remote.span, name, kind, attributes)
        return span

    def _layer(self, inner: Handler) -> Handler:
        """Around the whole stack: the server's span, or one below what is under way in this process."""

        async def traced(call: Call) -> Reply:
            above = current.get()
            if above is None:
                span = self._root(call.method[1:], Kind.SERVER, call.metadata, {"inferloom.model": call.model})
                span.later(rpc_attributes, call.method)
            else:
                span = above.child(f"call {call.model}", attributes={"inferloom.model": call.model})
            if call.version:
                span.attributes["inferloom.version"] = call.version
            token = current.set(span)
            try:
                reply = await inner(call)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and self._clock.now() >= call.deadline - LATE:
                    span.fail(DeadlineExceeded(f"no answer from '{call.model}' before the deadline"))
                span.close(error)
                raise
            finally:
                current.reset(token)
            if above is None:
                span.answered()
            span.end()
            return reply

        return traced


def from_environment(service: str, *, users_code: bool = False) -> Tracing:
    """Tracing as the usual environment variables configure it; off without an OTLP endpoint.

    Args:
        users_code: the process runs code that may make spans with OpenTelemetry's API: they go into the same traces.

    Raises:
        ConfigError: an endpoint is configured and the packages are missing, or a variable is wrong.
    """
    if not configured_endpoint():
        return Tracing()
    from inferloom.mesh.telemetry.tracing_export import otlp_exporting

    sampler = sampler_from_environment()
    exporting = otlp_exporting(service, users_code=users_code)
    return Tracing(exporting.put, sampler, close=exporting.close)


def configured_endpoint() -> str:
    """The OTLP endpoint of the environment; "" where traces are off."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ""
    return next((found for name in ENDPOINTS if (found := os.environ.get(name, ""))), "")


def here() -> Tracing:
    """The one that is active in this context."""
    return _here.get()


def operation(name: str, **attributes: str | bool | float) -> Span | Nothing:
    """`Tracing.operation` of the one that is active in this context."""
    return _here.get().operation(name, **attributes)


_here: ContextVar[Tracing] = ContextVar("inferloom_tracing", default=Tracing())  # noqa: B039 it is never changed
