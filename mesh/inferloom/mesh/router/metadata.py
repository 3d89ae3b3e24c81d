"""Which of the caller's metadata travels on to the replica."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.call import Metadata

__all__ = ["forwarded"]

_OWN = frozenset({"user-agent", "content-type", "te", "authorization", "host"})


def forwarded(metadata: Any) -> Metadata:
    """All but the transport's own headers and the mesh's token."""
    return tuple([(key, value) for key, value in metadata or () if key not in _OWN and not key.startswith("grpc-")])
