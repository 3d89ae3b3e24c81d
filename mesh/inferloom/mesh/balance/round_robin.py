"""Replicas take turns, in proportion to their weights (nginx's smooth weighted round robin).

Each turn every candidate earns its weight, and the richest is picked and pays what all earned: turns of a heavy replica are
spread out, not bunched.
"""

from __future__ import annotations

from collections.abc import Sequence

from inferloom.mesh.balance.picker import C
from inferloom.mesh.call import Call

__all__ = ["RoundRobin"]


class RoundRobin:
    """Keeps its state with the candidates, so one that leaves takes its own along."""

    __slots__ = ()

    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        total = 0.0
        for one in candidates:
            share = one.load.share(now, one.replica.weight)
            one.load.credit += share
            total += share
        chosen = max(candidates, key=lambda one: one.load.credit)
        chosen.load.credit -= total
        return chosen
