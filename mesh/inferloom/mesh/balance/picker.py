"""Choosing among the replicas that may be used. A picker never blocks and does no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Replica

__all__ = ["Candidate", "Picker"]


class Candidate(Protocol):
    """A replica and what is known of its load."""

    @property
    def replica(self) -> Replica: ...

    @property
    def load(self) -> ReplicaLoad: ...


C = TypeVar("C", bound=Candidate)


class Picker(Protocol):
    def pick(self, candidates: Sequence[C], call: Call, now: float) -> C:
        """One of the candidates, of which there is at least one."""
