"""The Open Inference Protocol v2 over gRPC, with Triton's extensions, and our typed face: messages and table of methods.

The messages are tritonclient's: a second copy of the proto package `inference` in one process is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from tritonclient.grpc import service_pb2 as pb

__all__ = [
    "CALL",
    "DESCRIBE",
    "DESCRIBING",
    "METHODS",
    "MODEL_INFER",
    "MODEL_STREAM_INFER",
    "SERVICE",
    "TYPED",
    "Kind",
    "Method",
    "pb",
]

SERVICE = "inference.GRPCInferenceService"


class Kind(Enum):
    """Who answers a method."""

    REPLICA = "replica"  # one replica of the model it names
    STREAM = "stream"  # the same, message by message
    EVERY_REPLICA = "every replica"  # all of them, summed
    MESH = "mesh"  # the router itself, from the catalog
    FORBIDDEN = "forbidden"  # it would change one replica behind the mesh's back, or reach into its machine


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the service, and the fields of its request that name the model and its version (0: none)."""

    name: str
    kind: Kind
    name_field: int = 0
    version_field: int = 0
    service: str = SERVICE

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


_KINDS = {
    "ServerLive": Kind.MESH,
    "ServerReady": Kind.MESH,
    "ServerMetadata": Kind.MESH,
    "ModelReady": Kind.MESH,
    "RepositoryIndex": Kind.MESH,
    "ModelMetadata": Kind.REPLICA,
    "ModelConfig": Kind.REPLICA,
    "ModelInfer": Kind.REPLICA,
    "ModelStreamInfer": Kind.STREAM,
    "ModelStatistics": Kind.EVERY_REPLICA,
}  # every other method of the service is forbidden: a new one is shut until somebody has thought about it


def _methods() -> dict[str, Method]:
    table = {}
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        fields = method.input_type.fields_by_name
        name = fields.get("model_name") or fields.get("name")
        version = fields.get("model_version") or fields.get("version")
        kind = _KINDS.get(method.name, Kind.FORBIDDEN)
        entry = Method(method.name, kind, name.number if name else 0, version.number if version else 0)
        table[entry.path] = entry
    return table


TYPED = "inferloom.v1.TypedService"  # JSON for those that know their types; routed by fields 1 and 2
CALL, DESCRIBE = (Method(name, Kind.REPLICA, 1, 2, TYPED) for name in ("Call", "Describe"))

METHODS: dict[str, Method] = _methods() | {method.path: method for method in (CALL, DESCRIBE)}
DESCRIBING = frozenset({f"/{SERVICE}/ModelMetadata", f"/{SERVICE}/ModelConfig", DESCRIBE.path})  # nothing is computed
MODEL_INFER = METHODS[f"/{SERVICE}/ModelInfer"]
MODEL_STREAM_INFER = METHODS[f"/{SERVICE}/ModelStreamInfer"]
