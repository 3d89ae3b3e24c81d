"""The public face of inferloom: import from here.

    from inferloom.sdk import MeshClient

    async with MeshClient("127.0.0.1:8081") as mesh:
        out = await mesh.infer("digits-svm", {"pixels": pixels})
        print(out.label)

Names are loaded when they are first used, so that importing this module costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferloom.clients.aio import CastWarning, MeshClient
    from inferloom.clients.metadata import ModelInfo, ModelMetadata, TensorSpec
    from inferloom.clients.result import InferResult
    from inferloom.clients.sync import SyncMeshClient
    from inferloom.mesh.errors import (
        DeadlineExceeded,
        Exhausted,
        Forbidden,
        InferloomError,
        InvalidInput,
        ModelNotFound,
        NoReplica,
        ReplicaError,
        Unauthenticated,
        Unreachable,
        Unsupported,
    )

__all__ = [
    "CastWarning",
    "DeadlineExceeded",
    "Exhausted",
    "Forbidden",
    "InferResult",
    "InferloomError",
    "InvalidInput",
    "MeshClient",
    "ModelInfo",
    "ModelMetadata",
    "ModelNotFound",
    "NoReplica",
    "ReplicaError",
    "SyncMeshClient",
    "TensorSpec",
    "Unauthenticated",
    "Unreachable",
    "Unsupported",
]

_HOME = {
    "CastWarning": "inferloom.clients.aio",
    "InferResult": "inferloom.clients.result",
    "MeshClient": "inferloom.clients.aio",
    "ModelInfo": "inferloom.clients.metadata",
    "ModelMetadata": "inferloom.clients.metadata",
    "SyncMeshClient": "inferloom.clients.sync",
    "TensorSpec": "inferloom.clients.metadata",
}  # the others: inferloom.mesh.errors


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME.get(name, "inferloom.mesh.errors")), name)
    return value


def __dir__() -> list[str]:
    return __all__
