"""How fast a model answers now, and so what is slow for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

__all__ = ["INFINITY", "WINDOW", "Pace"]

BOUNDS = tuple(0.0001 * 1.2**number for number in range(78))  # seconds: 0.1 ms to 2 minutes
WINDOW = 60.0  # seconds; what is told is of this window and the one before
ENOUGH = 100  # answers before their 99th percentile says anything
EVERY = 64  # answers between two looks at it
INFINITY = float("inf")


class Pace:
    """Answers of one model.

    Args:
        now: on the process's clock.
        objective: seconds within which the model promises to answer, as its policy has it now; None: it promises nothing.

    Attributes:
        count: requests that have ended, failures among them.
        limit: seconds; what takes longer is slow.
    """

    __slots__ = ("_before", "_objective", "_recent", "_turn", "count", "failed", "in_flight", "limit")

    def __init__(self, now: float, objective: Callable[[], float | None] = lambda: None) -> None:
        self.count = 0
        self.failed = 0
        self.in_flight = 0
        self._recent = [0] * (len(BOUNDS) + 1)
        self._before = list(self._recent)
        self._turn = now + WINDOW
        self._objective = objective
        self.limit = INFINITY
        self.refresh(now)

    def add(self, seconds: float, now: float) -> bool:
        """One has answered without error. Whether that was slow."""
        slow = seconds > self.limit
        self.count += 1
        self._recent[bisect_left(BOUNDS, seconds)] += 1
        if not self.count % EVERY:
            self.refresh(now)
        return slow

    def fail(self) -> None:
        """One has failed: how long that took says nothing of its pace."""
        self.count += 1
        self.failed += 1

    def add_counted(self, seconds: float, count: int) -> None:
        """So many have answered since the last time, each after about so long: somebody else has counted them."""
        self.count += count
        self._recent[bisect_left(BOUNDS, seconds)] += count

    def refresh(self, now: float) -> None:
        """Forget what is too old, and say anew what is slow."""
        if now >= self._turn:
            passed = now - self._turn
            self._before = self._recent if passed < WINDOW else [0] * len(self._recent)
            self._recent = [0] * len(self._recent)
            self._turn = now + WINDOW
        objective = self._objective()
        enough = sum(self._recent) + sum(self._before) >= ENOUGH
        self.limit = min(self._above(0.99) if enough else INFINITY, INFINITY if objective is None else objective)

    def quantile(self, part: float) -> float:
        """Seconds within which this part of the last answers came, drawn straight within its bucket; 0: there were none."""
        counts = [mine + older for mine, older in zip(self._recent, self._before, strict=True)]
        wanted, below = part * sum(counts), 0
        for number, count in enumerate(counts):
            if count and below + count >= wanted:
                low, high = (BOUNDS[number - 1] if number else 0.0), BOUNDS[min(number, len(BOUNDS) - 1)]
                return low + (high - low) * (wanted - below) / count
            below += count
        return 0.0

    def exceeded_by(self, most: int) -> float:
        """Seconds that at most so many of the last answers took more than."""
        above = 0
        for number in range(len(BOUNDS), 0, -1):
            above += self._recent[number] + self._before[number]
            if above > most:
                return BOUNDS[number] if number < len(BOUNDS) else INFINITY
        return BOUNDS[0]

    def _above(self, part: float) -> float:
        """The upper bound of the quantile's bucket: what is not surely slower than it is not slow."""
        value = self.quantile(part)
        return BOUNDS[min(bisect_left(BOUNDS, value), len(BOUNDS) - 1)]
