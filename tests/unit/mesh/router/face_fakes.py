"""A router over fake channels, and the server's side of a call that nobody made over a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpc import StatusCode

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import ManualClock, seeded
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from tests.unit.mesh.fakes import FakeChannel


class Aborted(Exception):
    """What grpc's context raises to end a call."""


class FakeContext:
    """grpc.aio's ServicerContext, as far as the mesh uses it."""

    def __init__(self, remaining: float | None = 1.0, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self.remaining = remaining
        self.metadata = metadata
        self.initial: Any = None
        self.trailing: Any = None
        self.code: StatusCode | None = None
        self.message = ""

    def time_remaining(self) -> float | None:
        return self.remaining

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self.metadata

    async def send_initial_metadata(self, metadata: Any) -> None:
        self.initial = metadata

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.trailing = metadata

    async def abort(self, code: StatusCode, message: str, trailing: Any = ()) -> None:
        self.code, self.message, self.trailing = code, message, trailing
        raise Aborted


class FakeRouter(Router):
    """A router whose channels have no connection."""

    def __init__(self, *replicas: Replica) -> None:
        self.memory = MemoryRegistry(ManualClock())
        self.manual = ManualClock()
        super().__init__(self.memory, clock=self.manual, rng=seeded(1))
        self.channels: dict[str, FakeChannel] = {}
        for replica in replicas:
            self.memory._put(replica)
        self.pool.apply(self.memory.catalog)

    def _connect(self, address: str) -> FakeChannel:
        return self.channels.setdefault(address, FakeChannel(address))
