"""Power of two choices (Mitzenmacher 2001): draw two, take the less loaded.

Nearly as good as the least loaded of all, without the herd: many routers that all see the same least loaded replica would
all send to it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from inferloom.mesh.balance.picker import C
from inferloom.mesh.call import Call

__all__ = ["PowerOfTwoChoices"]


class PowerOfTwoChoices:
    """Compares peak EWMA times requests in flight of two replicas drawn at random."""

    __slots__ = ("_rng",)

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        count = len(candidates)
        if count == 1:
            return candidates[0]
        draw = self._rng.random
        first = int(draw() * count)
        second = int(draw() * (count - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        if one.load.cost(now, one.replica.weight) <= other.load.cost(now, other.replica.weight):
            return one
        return other
