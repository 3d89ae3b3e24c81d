"""The list of models."""

from __future__ import annotations

from inferloom.clients.metadata import ModelInfo
from inferloom.clients.transport import Transport
from inferloom.mesh.catalog import version_key
from inferloom.mesh.errors import Unsupported
from inferloom.mesh.oip import SERVICE, pb
from inferloom.v1 import mesh_pb2

__all__ = ["list_models"]


async def list_models(transport: Transport, timeout: float) -> list[ModelInfo]:
    """Every model by name: the mesh's own list, or the repository index of a server that is no mesh."""
    try:
        request = mesh_pb2.ListModelsRequest().SerializeToString()
        path, answer = "/inferloom.v1.MeshService/ListModels", mesh_pb2.ListModelsResponse
        response, _ = await transport.unary(path, request, answer, timeout=timeout)
        return sorted((_of_mesh(model) for model in response.models), key=lambda info: info.name)
    except Unsupported:
        payload = pb.RepositoryIndexRequest().SerializeToString()
        index, _ = await transport.unary(
            f"/{SERVICE}/RepositoryIndex", payload, pb.RepositoryIndexResponse, timeout=timeout
        )
        return _of_index(index)


def _of_mesh(model: mesh_pb2.Model) -> ModelInfo:
    serving = [r for r in model.replicas if r.state == mesh_pb2.REPLICA_STATE_SERVING and r.healthy]
    versions = {version for replica in model.replicas for version in replica.versions}
    problems = [replica.problem for replica in model.replicas if replica.problem]
    return ModelInfo(
        model.name, tuple(sorted(versions, key=version_key)), bool(serving), len(model.replicas), "; ".join(problems)
    )


def _of_index(index: pb.RepositoryIndexResponse) -> list[ModelInfo]:
    models: dict[str, list[pb.RepositoryIndexResponse.ModelIndex]] = {}
    for entry in index.models:
        models.setdefault(entry.name, []).append(entry)
    found = []
    for name, entries in sorted(models.items()):
        ready = sorted((e.version for e in entries if e.state == "READY" and e.version), key=version_key)
        problems = [entry.reason for entry in entries if entry.state != "READY" and entry.reason]
        found.append(ModelInfo(name, tuple(ready), bool(ready), problem="; ".join(problems)))
    return found
