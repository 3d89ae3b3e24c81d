"""Who was shown which arm: recorded for each request of a split, to a file or to whoever subscribes.

A record holds the unit's point instead of the unit: 16 hexadecimal digits, the first 8 bytes of SHA-256 of salt, 0x1f and
unit, so that whoever knows the units can join them with outcomes, and nobody else can read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

__all__ = ["Exposure", "ExposureSink", "Exposures", "Subscription"]

BACKLOG = 1000  # exposures that a subscriber may be behind


class Exposure(NamedTuple):
    """One request."""

    split: str
    unit: str  # the point as 16 hexadecimal digits; "": it had none
    arm: str  # the one it belongs to
    served: str  # the one that answered: another where nobody served its own
    propensity: float  # probability of `arm`; 1 with an override
    override: bool
    time: float  # seconds since 1970, when it came
    request_id: str  # the request's own, else the metadata x-request-id, else ""
    mirrored: tuple[str, ...]  # mirror arms that were sent a copy
    code: str  # name of the status code, OK or CANCELLED among them
    seconds: float  # until the answer


class ExposureSink(Protocol):
    """Takes exposures on the request path: must neither block nor raise."""

    def record(self, exposure: Exposure) -> None: ...


class Subscription:
    """A subscriber's queue; what does not fit is dropped and counted."""

    def __init__(self, split: str) -> None:
        self.dropped = 0
        self._split = split
        self._queue: asyncio.Queue[Exposure] = asyncio.Queue(BACKLOG)

    def record(self, exposure: Exposure) -> None:
        if self._split and exposure.split != self._split:
            return
        try:
            self._queue.put_nowait(exposure)
        except asyncio.QueueFull:
            self.dropped += 1

    async def __aiter__(self) -> AsyncIterator[Exposure]:
        while True:
            yield await self._queue.get()


class Exposures:
    """All sinks of a router."""

    def __init__(self) -> None:
        self.sinks: tuple[ExposureSink, ...] = ()

    def add(self, sink: ExposureSink) -> Callable[[], None]:
        """Have everything recorded there too; the answer takes it out again."""
        self.sinks += (sink,)
        return lambda: self._remove(sink)

    def _remove(self, sink: ExposureSink) -> None:
        self.sinks = tuple(each for each in self.sinks if each is not sink)

    def record(self, exposure: Exposure) -> None:
        for sink in self.sinks:
            sink.record(exposure)

    @asynccontextmanager
    async def subscribed(self, split: str = "") -> AsyncIterator[Subscription]:
        """Exposures of one split, or of all, from now on."""
        subscription = Subscription(split)
        remove = self.add(subscription)
        try:
            yield subscription
        finally:
            remove()
