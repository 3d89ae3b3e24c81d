"""What the mesh answers itself: from the catalog, or by asking every replica and summing."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from inferloom.mesh.catalog import Model, State, version_key
from inferloom.mesh.errors import InvalidInput, NoReplica, ReplicaError
from inferloom.mesh.oip import METHODS, SERVICE, pb
from inferloom.mesh.router.endpoint import Endpoint, may_serve
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.statistics import summed
from inferloom.mesh.version import __version__

__all__ = ["Information"]

# Triton's own list, less what the mesh refuses (shared memory, logging, tracing).
EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)
STATISTICS = METHODS[f"/{SERVICE}/ModelStatistics"].path

M = TypeVar("M", bound=Message)


def _parse(kind: type[M], request: bytes) -> M:
    try:
        return kind.FromString(request)
    except DecodeError:
        raise InvalidInput(f"the request is no {kind.DESCRIPTOR.full_name}: its bytes do not parse") from None


class Information:
    """One method per call of the protocol: request bytes and an absolute deadline in, answer bytes out."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def server_live(self, request: bytes, deadline: float) -> bytes:
        return bytes(pb.ServerLiveResponse(live=True).SerializeToString())

    async def server_ready(self, request: bytes, deadline: float) -> bytes:
        """Ready means: it has a catalog, so it can route. Whether a model is there, ModelReady says."""
        return bytes(pb.ServerReadyResponse(ready=True).SerializeToString())

    async def server_metadata(self, request: bytes, deadline: float) -> bytes:
        answer = pb.ServerMetadataResponse(name="inferloom", version=__version__, extensions=EXTENSIONS)
        return bytes(answer.SerializeToString())

    async def model_ready(self, request: bytes, deadline: float) -> bytes:
        asked = _parse(pb.ModelReadyRequest, request)
        model = self._router.pool.catalog.models.get(asked.name)
        ready = model is not None and any(r.usable and may_serve(r, asked.version) for r in model.replicas)
        return bytes(pb.ModelReadyResponse(ready=ready).SerializeToString())

    async def repository_index(self, request: bytes, deadline: float) -> bytes:
        asked = _parse(pb.RepositoryIndexRequest, request)
        answer = pb.RepositoryIndexResponse()
        for model in self._router.pool.catalog.models.values():
            _index(model, answer, ready_only=asked.ready)
        return bytes(answer.SerializeToString())

    async def model_statistics(self, request: bytes, deadline: float) -> bytes:
        """Summed over the replicas that answer.

        Raises:
            ModelNotFound, NoReplica: as for any call of the model.
            ReplicaError: no replica answered; the first one's error.
        """
        asked = _parse(pb.ModelStatisticsRequest, request)
        pool = self._router.pool
        groups = [pool.group(asked.name)] if asked.name else list(pool.groups.values())
        questions = [
            (endpoint, pb.ModelStatisticsRequest(name=group.model.name, version=asked.version))
            for group in groups
            for endpoint in group.endpoints.values()
            if endpoint.replica.usable and may_serve(endpoint.replica, asked.version)
        ]
        if asked.name and not questions:
            raise NoReplica(groups[0].explain(self._router.clock.now()))
        answers = await asyncio.gather(
            *(self._ask(endpoint, question, deadline) for endpoint, question in questions), return_exceptions=True
        )
        good = [answer for answer in answers if isinstance(answer, pb.ModelStatisticsResponse)]
        if questions and not good:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        return bytes(summed(good).SerializeToString())

    async def _ask(self, endpoint: Endpoint, question: Any, deadline: float) -> Any:
        timeout = deadline - self._router.clock.now()
        try:
            reply = await endpoint.channel.send(STATISTICS, question.SerializeToString(), timeout, (), endpoint.active)
        except ReplicaError as error:
            raise ReplicaError(error.code, f"{endpoint.replica.id}: {error}") from None
        return pb.ModelStatisticsResponse.FromString(reply.payload)


def _index(model: Model, answer: Any, *, ready_only: bool) -> None:
    usable = {version for replica in model.replicas if replica.usable for version in replica.versions}
    for version in sorted(usable, key=version_key):
        answer.models.add(name=model.name, version=version, state="READY")
    if usable and not any(r.problem for r in model.replicas):
        return
    if model.ready and not usable:
        answer.models.add(name=model.name, version="", state="READY")  # attached: its versions are not known
        return
    if ready_only:
        return
    for replica in model.replicas:
        if replica.problem or not replica.usable:
            state = "LOADING" if replica.state is State.STARTING and not replica.problem else "UNAVAILABLE"
            answer.models.add(name=model.name, state=state, reason=f"{replica.id}: {replica.problem or replica.state}")
