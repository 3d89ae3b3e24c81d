"""Counts in fixed buckets: quantiles within the width of one, in constant memory, and addable across processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["DIFFERENCES", "LATENCIES", "Histogram", "finer"]

COARSE = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def finer(coarse: Sequence[float], parts: int) -> tuple[float, ...]:
    """Each bucket cut into so many of equal ratio; the coarse bounds are kept exactly."""
    bounds = [coarse[0]]
    for low, high in pairwise(coarse):
        bounds += [low * (high / low) ** (number / parts) for number in range(1, parts)]
        bounds.append(high)
    return tuple(bounds)


LATENCIES = finer((*COARSE, 10.0, 30.0, 120.0, 600.0), 8)  # seconds; each bound at most 1.22 of the one before
DIFFERENCES = (0.0, *(10.0**power for power in range(-9, 10)))  # a bucket of its own for equal


class Histogram:
    """Values of 0 or more.

    Args:
        bounds: upper bounds of the buckets, ascending; one more bucket holds what is above.
    """

    __slots__ = ("bounds", "counts", "most", "sum")

    def __init__(self, bounds: Sequence[float], counts: Sequence[int] = (), total: float = 0.0) -> None:
        self.bounds = bounds
        self.counts = list(counts) or [0] * (len(bounds) + 1)
        self.sum = total
        self.most = 0.0

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return self.sum / count if (count := self.count) else 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
        self.most = max(self.most, value)

    def merge(self, other: Histogram) -> None:
        """Take over the counts of another with the same bounds; one with others comes from another release and is not."""
        if len(other.counts) == len(self.counts):
            self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
            self.sum += other.sum
            self.most = max(self.most, other.most)

    def quantile(self, part: float) -> float:
        """The value below which this part of the values lies, drawn straight within its bucket; 0 where there are none."""
        wanted = part * self.count
        below = 0
        for number, count in enumerate(self.counts):
            if count and below + count >= wanted:
                if number == len(self.bounds):
                    return max(self.bounds[-1], self.most)
                low = self.bounds[number - 1] if number else 0.0
                return low + (self.bounds[number] - low) * (wanted - below) / count
            below += count
        return 0.0

    def below(self, bound: float) -> int:
        """How many are at most `bound`, which is one of the bounds."""
        return sum(self.counts[: bisect_left(self.bounds, bound) + 1])
