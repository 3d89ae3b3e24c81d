"""How handles reach a mesh from inside of it: through the host's own router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from grpc import StatusCode

from inferloom.clients.faults import error_of
from inferloom.clients.fit import Fitted, check_outputs, fit
from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.request import build, unfitted
from inferloom.clients.result import InferResult
from inferloom.clients.signatures import Signatures
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Model
from inferloom.mesh.errors import (
    DeadlineExceeded,
    InferloomError,
    InvalidInput,
    ModelNotFound,
    NoReplica,
    ReplicaError,
    Unsupported,
)
from inferloom.mesh.oip import METHODS, MODEL_INFER, MODEL_STREAM_INFER, SERVICE, pb
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.router import Router
from inferloom.mesh.wire import find_target
from inferloom.services.context import inherited, remaining
from inferloom.services.declare.inside_stream import StreamAttempt

__all__ = ["RouterCaller"]


class RouterCaller:
    """Calls through a router in this process: no hop of its own.

    Args:
        router: started; its catalog says when a model has changed.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._clock = router.clock
        self._signatures = Signatures()
        self._seen: dict[tuple[str, str], Model] = {}  # the catalog's, when the metadata was learnt

    async def close(self) -> None:
        await self._signatures.close()

    async def infer(
        self,
        model: str,
        inputs: Any,
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> InferResult:
        """As `MeshClient.infer`, with the same errors; at most until the running call's deadline."""
        seconds = remaining(timeout, self._router.policy(model).timeout, self._clock)
        deadline = self._clock.now() + seconds
        fitted = await self._fitted(model, version, inputs, outputs, deadline)
        payload = build(model, version, fitted, outputs=outputs, parameters=parameters)
        affinity = None
        if parameters:
            affinity = find_target(payload, MODEL_INFER.name_field, MODEL_INFER.version_field, infer=True).sequence
        call = Call(model, version, MODEL_INFER.path, payload, inherited(metadata), deadline, affinity)
        try:
            reply = await self._router(call)
        except InferloomError as error:
            clear = _typed(error, model, seconds)
            if isinstance(clear, InvalidInput | ModelNotFound):
                self._signatures.drop(model, version)  # it may have changed since its metadata was read
            raise clear from None
        return InferResult(pb.ModelInferResponse.FromString(reply.payload), reply.trailing)

    async def stream(
        self,
        model: str,
        inputs: Any,
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[InferResult]:
        """One request and its answers as they come. What fails before them is tried elsewhere, where that is safe."""
        seconds = remaining(timeout, self._router.policy(model).longest, self._clock)
        deadline = self._clock.now() + seconds
        fitted = await self._fitted(model, version, inputs, outputs, deadline)
        payload = build(model, version, fitted, outputs=outputs, parameters=parameters)
        call = Call(model, version, MODEL_STREAM_INFER.path, payload, inherited(metadata), deadline)
        group = self._router.pool.group(model)
        group.budget.earn()
        tried: tuple[Endpoint, ...] = ()
        while True:
            attempt = StreamAttempt(self._router, call, group.choose(call, self._clock.now(), tried))
            try:
                async with aclosing(attempt.answers()) as answers:
                    async for answer in answers:
                        yield answer
                return
            except ReplicaError as error:
                tried += (attempt.endpoint,)
                again = attempt.repeatable and len(tried) < group.policy.retry.attempts
                if not again or not group.budget.spend(self._clock.now()):
                    raise _typed(error, model, seconds) from None

    async def metadata(self, model: str, version: str = "") -> ModelMetadata:
        """What a model takes and gives; learnt once, and anew when its replicas change. Unsupported where it tells none."""
        known = await self._signature(model, version, remaining(None, self._router.policy(model).timeout, self._clock))
        if known is None:
            raise Unsupported(f"{model} tells no metadata")
        return known

    async def _fitted(
        self, model: str, version: str, inputs: Any, outputs: Sequence[str], deadline: float
    ) -> list[Fitted]:
        """The inputs as the model takes them. What was learnt earlier never refuses a request: it is read again first."""
        fresh = not self._known(model, version)
        signature = await self._signature(model, version, deadline - self._clock.now())
        if signature is None:
            return unfitted(inputs, model)
        try:
            check_outputs(outputs, signature)
            return fit(inputs, signature)
        except InvalidInput:
            if fresh:
                raise
            self._signatures.drop(model, version)
            return await self._fitted(model, version, inputs, outputs, deadline)

    def _known(self, model: str, version: str) -> bool:
        """Whether its metadata is known and its replicas are still those that told it."""
        now, key = self._router.pool.group(model).model, (model, version)
        if self._seen.get(key) is not now:
            self._signatures.drop(model, version)
            self._seen[key] = now
        return self._signatures.known(model, version)

    async def _signature(self, model: str, version: str, seconds: float) -> ModelMetadata | None:
        if self._known(model, version):
            return await self._signatures.get(model, version, self._fetch)
        try:
            async with asyncio.timeout(seconds):
                return await self._signatures.get(model, version, self._fetch)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer from {model} within {round(seconds, 3):g} s") from None

    async def _fetch(self, model: str, version: str) -> ModelMetadata:
        timeout = self._router.policy(model).timeout
        deadline = self._clock.now() + timeout

        async def ask(method: str, request: Any, answer: Any) -> Any:
            path = METHODS[f"/{SERVICE}/{method}"].path
            try:
                reply = await self._router(Call(model, version, path, request.SerializeToString(), (), deadline))
            except ReplicaError as error:
                raise _typed(error, model, timeout) from None
            return answer.FromString(reply.payload)

        async def config() -> Any:
            try:
                request = pb.ModelConfigRequest(name=model, version=version)
                return (await ask("ModelConfig", request, pb.ModelConfigResponse)).config
            except Unsupported:
                return None  # an extension of Triton's

        request = pb.ModelMetadataRequest(name=model, version=version)
        told, configured = await asyncio.gather(ask("ModelMetadata", request, pb.ModelMetadataResponse), config())
        return ModelMetadata.of(told, configured)


class _Status:
    """A replica's error as `clients.faults` reads one."""

    def __init__(self, error: ReplicaError) -> None:
        self.code = lambda: error.code
        self.details = lambda: str(error)
        self.trailing_metadata = lambda: error.trailing
        self.initial_metadata = lambda: error.initial


def _typed(error: InferloomError, model: str, seconds: float) -> InferloomError:
    """The error that a client would raise, so that `except` in a service means the same in and outside of the mesh."""
    if not isinstance(error, ReplicaError):
        return error
    if error.code is StatusCode.UNAVAILABLE:
        return NoReplica(f"no replica of '{model}' answered: {error}")
    if error.code is StatusCode.UNIMPLEMENTED and "decoupled" in str(error):
        return Unsupported(f"{model} gives any number of answers per request: use stream(...)")
    status: Any = _Status(error)
    return error_of(status, model=model, address=f"'{model}'", timeout=round(seconds, 3))
