"""Where time and randomness enter. Nothing else in the mesh reads a clock or makes its own randomness.

Whatever waits, expires or draws takes a `Clock` or a `random.Random` as a constructor argument, so a unit test decides
what time it is and never sleeps.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["SYSTEM", "Clock", "ManualClock", "SystemClock", "seeded"]


class Clock(Protocol):
    """A monotonic clock in seconds, the wall clock in seconds since 1970, and sleep."""

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ("now", "wall")

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.monotonic
        self.wall: Callable[[], float] = time.time

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves when told to; sleepers wake in order of their time. Ships, so that users can test with it."""

    def __init__(self, start: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = start
        self._offset = wall - start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._offset

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._order += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, self._order, future)
        self._sleepers.append(entry)
        try:
            await future
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)

    async def advance(self, seconds: float) -> None:
        """Move time forward, waking each sleeper at its own moment and letting it run before the next."""
        target = self._now + seconds
        await _settle()  # tasks made just before go to sleep first, at the present time
        while due := sorted(entry for entry in self._sleepers if entry[0] <= target):
            when, _, future = due[0]
            self._sleepers.remove(due[0])
            self._now = max(self._now, when)
            if not future.done():
                future.set_result(None)
            await _settle()
        self._now = target
        await _settle()


async def _settle(rounds: int = 10) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


def seeded(seed: int | None = None) -> random.Random:
    """A source of randomness: the system's where no seed is given."""
    return random.Random(seed)


SYSTEM = SystemClock()
