"""Power of two choices over requests in flight: Envoy's least request."""

from __future__ import annotations

import random
from collections.abc import Sequence

from inferloom.mesh.balance.picker import C
from inferloom.mesh.call import Call

__all__ = ["LeastRequest"]


class LeastRequest:
    """Of two drawn at random the one with fewer requests in flight for its weight; latency is not looked at."""

    __slots__ = ("_rng",)

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        if len(candidates) == 1:
            return candidates[0]
        first = int(self._rng.random() * len(candidates))
        second = int(self._rng.random() * (len(candidates) - 1))
        second += second >= first
        return min(candidates[first], candidates[second], key=lambda one: _cost(one, now))


def _cost(one: C, now: float) -> float:
    return (one.load.in_flight + 1) / one.load.share(now, one.replica.weight)
