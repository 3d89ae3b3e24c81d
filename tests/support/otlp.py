"""Where traces of tests go: a receiver in this process, or a Jaeger.

With JAEGER_QUERY_URL set (http://HOST:16686) everything goes on to that machine's port 4317, and trees are read back from
Jaeger's API; the tests are the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from inferloom.mesh.telemetry import receiver
from inferloom.mesh.telemetry.tree import SpanRecord, outline
from tests.support.jaeger import trace_of

__all__ = ["Span", "Traces", "receiving", "traces_received"]

Span = SpanRecord
JAEGER = "JAEGER_QUERY_URL"
LOST = 5.0  # seconds after ours until Triton's spans are given up


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

    async def are(
        self, trace: str, expected: str, *shown: str, timeout: float = 40.0, whole: bool = False
    ) -> list[Span]:
        """Return a trace's spans once they look as expected: the whole tree, no more and no less.

        Triton 2.51 loses the context of about 2 requests in 100 on a crowded machine, and sends nothing of them: where all of
        ours is there and Triton's part does not come, that is enough.

        Args:
            expected: as `outline` has it, with `shown` of our attributes.
            whole: Triton's part must be there too.
        """
        end = time.monotonic() + timeout
        wanted = expected.rstrip().strip("\n").splitlines()
        settled = 0.0
        while True:
            spans = await self.of_trace(trace)
            found = outline(spans, shown).splitlines()
            if found == wanted:
                return spans
            now = time.monotonic()
            settled = (settled or now) if _ours(found) == _ours(wanted) else 0.0
            lost = Counter(found) <= Counter(wanted) and settled and now - settled > LOST
            if lost and not whole:
                return spans
            assert now < end, f"not within {timeout} s; it is\n" + "\n".join(found)
            await asyncio.sleep(0.05)


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
