"""Where a mesh answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inferloom.mesh.listen import Address

__all__ = ["Where"]


@dataclass(frozen=True, slots=True)
class Where:
    """Of the router, or of what stands in front of it."""

    grpc: Address
    admin: str  # the router's
    http: str  # HOST:PORT; "": off
    drain: Callable[[], Awaitable[None]]  # idempotent
