"""What stands behind /v2 of a router: inferences are ModelInfer calls as any other, with splits, retries and deadlines."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc import StatusCode

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.catalog import version_key
from inferloom.mesh.errors import Exhausted
from inferloom.mesh.names import check_name
from inferloom.mesh.oip import MODEL_INFER, Kind, Method, pb
from inferloom.mesh.router.information import Information
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL, UNKNOWN_VERSION
from inferloom.mesh.wire import find_target
from inferloom.services.rest.backend import Answered, Asked

__all__ = ["RouterBackend"]

PATIENCE, LONGEST = 10.0, 60.0  # seconds for what the mesh answers itself: usual, and most that a caller may give
_ANSWERS = {
    "ModelMetadata": pb.ModelMetadataResponse,
    "ModelConfig": pb.ModelConfigResponse,
    "ServerLive": pb.ServerLiveResponse,
    "ServerReady": pb.ServerReadyResponse,
    "ServerMetadata": pb.ServerMetadataResponse,
    "ModelReady": pb.ModelReadyResponse,
    "RepositoryIndex": pb.RepositoryIndexResponse,
    "ModelStatistics": pb.ModelStatisticsResponse,
}


class RouterBackend:
    """A router, for REST requests."""

    def __init__(self, router: Router) -> None:
        self._router = router
        information = Information(router)
        self._mesh = {
            "ServerLive": information.server_live,
            "ServerReady": information.server_ready,
            "ServerMetadata": information.server_metadata,
            "ModelReady": information.model_ready,
            "RepositoryIndex": information.repository_index,
            "ModelStatistics": information.model_statistics,
        }

    async def infer(self, request: Any, asked: Asked) -> Answered:
        most = self._router.settings.max_message
        if request.ByteSize() > most:
            raise Exhausted(f"the tensors exceed {most} bytes", reason="size")
        reply = await self._call(MODEL_INFER, request.SerializeToString(), asked)
        return Answered(pb.ModelInferResponse.FromString(reply.payload), (*reply.initial, *reply.trailing))

    async def inform(self, method: Method, request: Any, asked: Asked) -> Any:
        payload = request.SerializeToString()
        if method.kind is Kind.REPLICA:
            answer = _ANSWERS[method.name].FromString((await self._call(method, payload, asked)).payload)
            if method.name == "ModelMetadata" and not request.version:
                self._all_versions(answer, request.name)
            return answer
        seconds = PATIENCE if asked.seconds is None else min(asked.seconds, LONGEST)
        told = await self._mesh[method.name](payload, self._router.clock.now() + seconds)
        return _ANSWERS[method.name].FromString(told)

    async def _call(self, method: Method, payload: bytes, asked: Asked) -> Reply:
        router, began = self._router, self._router.clock.now()
        model, version, code = UNKNOWN_MODEL, "", StatusCode.OK
        try:
            target = find_target(payload, method.name_field, method.version_field, infer=method is MODEL_INFER)
            group = router.pool.groups.get(target.model)
            if group is None:
                check_name(target.model)
            else:
                model = target.model
                known = not target.version or target.version in group.model.versions
                version = target.version if known else UNKNOWN_VERSION
            policy = router.policy(target.model)
            seconds = policy.timeout if asked.seconds is None else min(asked.seconds, policy.longest)
            deadline = began + seconds
            return await router(
                Call(target.model, target.version, method.path, payload, asked.metadata, deadline, target.sequence)
            )
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except Exception as error:
            failed, given = router.failures.raised, asked.metadata
            code = failed(error, began, model=model, version=version, method=method.name, metadata=given).code
            raise
        finally:
            router.metrics.finished(model, version, code, router.clock.now() - began)

    def _all_versions(self, answer: Any, name: str) -> None:
        """The replica was asked for its default one and tells no others."""
        group = self._router.pool.groups.get(name)
        if group is not None:
            answer.versions[:] = sorted({*answer.versions, *group.model.versions}, key=version_key)
