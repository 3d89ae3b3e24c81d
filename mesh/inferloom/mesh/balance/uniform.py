"""Any of them, each as likely as the others."""

from __future__ import annotations

import random
from collections.abc import Sequence

from inferloom.mesh.balance.picker import C
from inferloom.mesh.call import Call

__all__ = ["Uniform"]


class Uniform:
    """Looks at neither load nor weight, as Envoy's random balancer."""

    __slots__ = ("_rng",)

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        return candidates[int(self._rng.random() * len(candidates))]
