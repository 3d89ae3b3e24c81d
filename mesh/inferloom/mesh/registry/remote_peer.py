"""The other side of a subscription: how it is asked, and what its refusals mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import (
    Conflict,
    Forbidden,
    InferloomError,
    InvalidInput,
    RegistryUnavailable,
    Unauthenticated,
)

__all__ = ["PATIENCE", "RETRY", "Peer"]

RETRY = 0.5  # seconds between attempts to subscribe again; the channel's own backoff is up to 2 s
PATIENCE = 5.0  # seconds for one call

_BY_CODE: dict[grpc.StatusCode, type[InferloomError]] = {
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Whoever answers `MeshService` at an address.

    Args:
        stub: a MeshServiceStub.
        metadata: of every call.
    """

    address: str
    stub: Any
    metadata: tuple[tuple[str, str], ...]
    clock: Clock

    def unavailable(self) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"no mesh answers at {self.address}: start one with `inferloom up`, or give its address"
        )

    def typed(self, error: grpc.aio.AioRpcError) -> InferloomError:
        """The error that it was over there."""
        kind = _BY_CODE.get(error.code())
        if kind is not None:
            return kind(error.details() or "")
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return self.unavailable()
        return InferloomError(error.details() or error.code().name)
