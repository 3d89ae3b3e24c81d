"""Highest random weight (Thaler, Ravishankar 1998): the same key finds the same replica while it is there.

When a replica goes, only its own keys move.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from inferloom.mesh.balance.picker import C
from inferloom.mesh.call import Call

__all__ = ["Rendezvous"]


class Rendezvous:
    """Picks by the call's affinity; calls without one all get the same replica, so give it only those that have one."""

    __slots__ = ()

    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        key = call.affinity or b""
        return max(candidates, key=lambda one: blake2b(one.replica.id.encode() + b"\x1f" + key, digest_size=8).digest())
