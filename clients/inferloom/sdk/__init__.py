"""The public face of inferloom: import from here.

    from inferloom.sdk import MeshClient, model, service

    digits = model("digits-svm")

    @service
    class ReadDigit:
        async def predict(self, png: bytes) -> int:
            out = await digits(pixels=decode(png))
            return int(out.label.item())

    async with MeshClient("127.0.0.1:8081") as mesh:
        out = await mesh.infer("ReadDigit", {"png": png})

Declaring: service, model, pipeline, step, resource, shape. In pipelines: vote, mean, median, maximum, concat, stack,
combine, route, Outputs. Calling: MeshClient, SyncMeshClient and what they give and raise.

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
        ConfigError,
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
    from inferloom.services.composer.combiners import combine, concat, maximum, mean, median, stack, vote
    from inferloom.services.composer.outputs import Outputs
    from inferloom.services.composer.routes import route
    from inferloom.services.declare.model import model
    from inferloom.services.declare.pipeline import pipeline
    from inferloom.services.declare.resource import resource
    from inferloom.services.declare.service import service
    from inferloom.services.declare.step import step
    from inferloom.services.typed.shape import shape

__all__ = [
    "CastWarning",
    "ConfigError",
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
    "Outputs",
    "ReplicaError",
    "SyncMeshClient",
    "TensorSpec",
    "Unauthenticated",
    "Unreachable",
    "Unsupported",
    "combine",
    "concat",
    "maximum",
    "mean",
    "median",
    "model",
    "pipeline",
    "resource",
    "route",
    "service",
    "shape",
    "stack",
    "step",
    "vote",
]

_NAMES = {
    "inferloom.clients.aio": ("CastWarning", "MeshClient"),
    "inferloom.clients.metadata": ("ModelInfo", "ModelMetadata", "TensorSpec"),
    "inferloom.clients.result": ("InferResult",),
    "inferloom.clients.sync": ("SyncMeshClient",),
    "inferloom.services.composer.combiners": ("combine", "concat", "maximum", "mean", "median", "stack", "vote"),
    "inferloom.services.composer.outputs": ("Outputs",),
    "inferloom.services.composer.routes": ("route",),
    "inferloom.services.declare.model": ("model",),
    "inferloom.services.declare.pipeline": ("pipeline",),
    "inferloom.services.declare.resource": ("resource",),
    "inferloom.services.declare.service": ("service",),
    "inferloom.services.declare.step": ("step",),
    "inferloom.services.typed.shape": ("shape",),
}  # the others: inferloom.mesh.errors
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME.get(name, "inferloom.mesh.errors")), name)
    return value


def __dir__() -> list[str]:
    return __all__
