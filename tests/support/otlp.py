"""Where traces of tests go: a receiver in this process, or a Jaeger.

With JAEGER_QUERY_URL set (http://HOST:16686) everything is sent to that machine's ports 4317 and 4318 and read back from
Jaeger's API; the tests are the same.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from inferloom.mesh.telemetry import receiver
from inferloom.mesh.telemetry.tree import SpanRecord, outline
from tests.support.jaeger import trace_of

__all__ = ["Span", "Traces", "receiving", "traces_received"]

Span = SpanRecord
JAEGER = "JAEGER_QUERY_URL"


class Traces:
    """What was received."""

    def __init__(self, received: receiver.Received, jaeger: str = "") -> None:
        self._received = received
        self._jaeger = jaeger
        host = urlsplit(jaeger).hostname
        self.grpc = f"http://{host}:4317" if jaeger else received.grpc
        self.http = f"http://{host}:4318/v1/traces" if jaeger else received.http

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

    async def are(self, trace: str, expected: str, *shown: str, timeout: float = 40.0, without: str = "") -> list[Span]:
        """Return a trace's spans once they look as expected: the whole tree, no more and no less.

        Args:
            expected: as `outline` has it, with `shown` of our attributes.
            without: a service whose spans do not count.
        """
        end = time.monotonic() + timeout
        lines = expected.rstrip().strip("\n")
        while True:
            spans = [span for span in await self.of_trace(trace) if span.service != without]
            if outline(spans, shown) == lines:
                return spans
            if time.monotonic() > end:
                assert outline(spans, shown) == lines, f"not within {timeout} s; it is\n{outline(spans, shown)}"
            await asyncio.sleep(0.05)


@contextmanager
def traces_received() -> Iterator[Traces]:
    """A receiver, on free ports."""
    with receiver.receiving() as received:
        yield Traces(received, os.environ.get(JAEGER, "").rstrip("/"))


@asynccontextmanager
async def receiving() -> AsyncIterator[Traces]:
    """The same for `async with`."""
    with traces_received() as traces:
        yield traces
