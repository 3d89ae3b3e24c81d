"""Where traces of tests go: a receiver in this process, or a Jaeger.

With JAEGER_QUERY_URL set (http://HOST:16686) everything goes on to that machine's port 4317, and trees are read back from
Jaeger's API; the tests are the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from inferloom.mesh.telemetry import receiver
from inferloom.mesh.telemetry.tree import SpanRecord, outline
from tests.support.jaeger import trace_of

__all__ = ["Begun", "Span", "Traces", "receiving", "traces_received"]

Span = SpanRecord
JAEGER = "JAEGER_QUERY_URL"
LOST = 5.0  # seconds after ours until Triton's spans are given up
AGAIN = 2.0  # ... where the request is made once more


class Begun(Protocol):
    """A request that was made, with the id of its trace."""

    @property
    def trace(self) -> str: ...


A = TypeVar("A", bound=Begun)


class Traces:
    """What was received."""

    def __init__(self, received: receiver.Received, jaeger: str = "") -> None:
        self._received = received
        self._jaeger = jaeger
        self.grpc, self.http = received.grpc, received.http

    @property
    def spans(self) -> list[Span]:
        """All that came to the receiver in this process."""
        return self._received.spans

    def of(self, trace: str) -> list[Span]:
        return self._received.of(trace)

    async def of_trace(self, trace: str) -> list[Span]:
        """The spans of a trace so far, wherever they are."""
        return await trace_of(self._jaeger, trace) if self._jaeger else self.of(trace)

    async def until(self, condition: Callable[[], bool], timeout: float = 40.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"not within {timeout} s; so far {self.spans}"
            await asyncio.sleep(0.02)

    async def are(self, trace: str, expected: str, *shown: str, timeout: float = 40.0) -> list[Span]:
        """Return a trace's spans once they look as expected: the whole tree, no more and no less, but for Triton's part.

        Triton 2.51 loses the context of about 2 requests in 100 on a busy machine (6 of 60 streams that followed each other
        at once), and sends nothing of them: where all of ours is there and Triton's part does not come, that is enough here.
        `whole` demands it.

        Args:
            expected: as `outline` has it, with `shown` of our attributes.
        """
        spans, _ = await self._come(trace, _lines(expected), shown, timeout, LOST)
        return spans

    async def whole(
        self, ask: Callable[[], Awaitable[A]], expected: str, *shown: str, tries: int = 8
    ) -> tuple[A, list[Span]]:
        """Ask until one tree came with Triton's part; ours must be right every time.

        Args:
            ask: begins a trace of its own each time.
            expected: as for `are`.

        Returns:
            What `ask` returned last, and the spans of its trace.
        """
        for _ in range(tries):
            begun = await ask()
            spans, complete = await self._come(begun.trace, _lines(expected), shown, 40.0, AGAIN)
            if complete:
                return begun, spans
        raise AssertionError(f"{tries} requests without Triton's part; the last was\n{outline(spans, shown)}")

    async def _come(
        self, trace: str, wanted: list[str], shown: Sequence[str], timeout: float, lost: float
    ) -> tuple[list[Span], bool]:
        """The spans of a trace whose part that is ours is as wanted, and whether Triton's is there."""
        end = time.monotonic() + timeout
        settled = 0.0
        while True:
            spans = await self.of_trace(trace)
            found = outline(spans, shown).splitlines()
            if found == wanted:
                return spans, True
            now = time.monotonic()
            settled = (settled or now) if _ours(found) == _ours(wanted) else 0.0
            if Counter(found) <= Counter(wanted) and settled and now - settled > lost:
                return spans, False
            assert now < end, f"not within {timeout} s; it is\n" + "\n".join(found)
            await asyncio.sleep(0.05)


def _lines(expected: str) -> list[str]:
    return expected.rstrip().strip("\n").splitlines()


def _ours(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.lstrip().startswith("triton ")]


@contextmanager
def traces_received() -> Iterator[Traces]:
    """A receiver, on free ports."""
    jaeger = os.environ.get(JAEGER, "").rstrip("/")
    with receiver.receiving() as received:
        if not jaeger:
            yield Traces(received)
            return
        with grpc.insecure_channel(f"{urlsplit(jaeger).hostname}:4317") as channel:
            grpc.channel_ready_future(channel).result(10)  # now: a connection made later would look like a test's
            received.forward = trace_service_pb2_grpc.TraceServiceStub(channel).Export  # type: ignore[no-untyped-call]
            yield Traces(received, jaeger)


@asynccontextmanager
async def receiving() -> AsyncIterator[Traces]:
    """The same for `async with`."""
    with traces_received() as traces:
        yield traces
