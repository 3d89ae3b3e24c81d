"""The asynchronous client."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inferloom.clients.channel import MIB, Endpoint, default_address
from inferloom.clients.fit import Fitted, check_outputs, fit
from inferloom.clients.handle import ModelHandle
from inferloom.clients.listing import list_models
from inferloom.clients.metadata import ModelInfo, ModelMetadata
from inferloom.clients.request import build, unfitted
from inferloom.clients.result import InferResult
from inferloom.clients.signatures import Signatures
from inferloom.clients.stream import InferStream, OnError, Requests
from inferloom.clients.transport import Metadata, Transport
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import DeadlineExceeded, InvalidInput, ModelNotFound, NoReplica, Unreachable, Unsupported
from inferloom.mesh.oip import SERVICE, pb

__all__ = ["CastWarning", "MeshClient"]


class CastWarning(UserWarning):
    """An input was cast to the model's datatype and may have lost digits. Given once per model and input."""


class MeshClient:
    """Calls models of a mesh, or of any server that answers the Open Inference Protocol v2 over gRPC.

        async with MeshClient("127.0.0.1:8081") as mesh:
            out = await mesh.infer("digits-svm", {"pixels": pixels})
            print(out.label)

    It learns each model's metadata once, so that a wrong name, dtype or shape is explained before anything is sent.
    One client is one connection and belongs to one event loop; any number of tasks may share it.

    Args:
        address: HOST:PORT of the router, or of a Triton; https:// or grpcs:// before it asks for TLS.
        token: sent as a bearer token with each call.
        tls, ca, cert, key, server_name: TLS: whether, the authority's PEM file (None: the system's), this client's own
            certificate and key for mutual TLS, the name to expect in the server's certificate.
        timeout: seconds a call may take where it says nothing else. There is always a deadline, streams excepted.
        max_message_bytes: bound on a message, both ways.
        keepalive: seconds between pings while a call waits for its answer. A Triton that inferloom did not start ends
            a connection that pings more often than every 300 s, which a call of more than 3 minutes would meet.
        clock: time, for tests.

    Raises:
        ConfigError: the address, or the TLS options, make no sense.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        token: str | None = None,
        tls: bool | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        server_name: str | None = None,
        timeout: float = 30.0,
        max_message_bytes: int = 64 * MIB,
        keepalive: float = 10.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self._timeout = _checked(timeout)
        self._clock = clock
        endpoint = Endpoint(address or default_address(), tls, ca, cert, key, server_name, max_message_bytes, keepalive)
        self._transport = Transport(endpoint, token)
        self._signatures = Signatures()
        self._noted: set[tuple[str, str]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end with an error. Safe to call more than once."""
        await self._signatures.close()
        await self._transport.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._transport.endpoint.address}>"

    async def infer(
        self,
        model: str,
        inputs: Any,
        *,
        version: str | int = "",
        timeout: float | None = None,
        metadata: Metadata | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        request_id: str = "",
    ) -> InferResult:
        """One request, one answer (ModelInfer).

        Args:
            inputs: arrays, lists, scalars or text by input name; or one such value, where the model takes one input.
                A missing batch dimension ([-1, ...]) is added; the answer keeps its own.
            version: "" means the one that the mesh chooses.
            timeout: seconds for all of it, the client's own where None.
            metadata: gRPC metadata to send along, such as `traceparent`.
            outputs: the outputs wanted; empty: all.
            parameters: the request's parameters: bool, int, float or str.
            request_id: comes back as the answer's `id`.

        Raises:
            InvalidInput: the inputs are not what the model takes.
            ModelNotFound, NoReplica, Exhausted, DeadlineExceeded, Unreachable, ReplicaError: see `clients/faults.py`.
        """
        timeout = self._timeout if timeout is None else _checked(timeout)
        deadline = self._clock.now() + timeout
        wanted = _wanted(outputs)
        version = str(version)
        fitted = await self._fitted(model, version, inputs, wanted, deadline, timeout, metadata)
        payload = build(model, version, fitted, request_id=request_id, outputs=wanted, parameters=parameters)
        try:
            response, trailing = await self._transport.unary(
                _path("ModelInfer"),
                payload,
                pb.ModelInferResponse,
                timeout=deadline - self._clock.now(),
                metadata=metadata,
                model=model,
            )
        except (InvalidInput, ModelNotFound):
            self._signatures.drop(model, version)  # it may have changed since its metadata was read
            raise
        except Unsupported as error:
            if "decoupled" in str(error):
                raise Unsupported(f"{model} gives any number of answers per request: use stream(...)") from None
            raise
        except DeadlineExceeded as error:
            raise _whole(error, model, timeout) from None
        return InferResult(response, trailing)

    def stream(
        self,
        model: str,
        requests: Requests,
        *,
        version: str | int = "",
        timeout: float | None = None,
        metadata: Metadata | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        on_error: OnError = "raise",
    ) -> InferStream:
        """Requests one way, answers the other as they come (ModelStreamInfer); what decoupled models need.

        Args:
            requests: the inputs of one request, or an iterable or async iterable of them.
            timeout: seconds for the whole stream; None: no deadline.
            on_error: what an error of one message does; see `InferStream`.
            version, metadata, outputs, parameters: as in `infer`, for every request.
        """
        if on_error not in ("raise", "yield"):
            raise InvalidInput(f"on_error is 'raise' or 'yield', not {on_error!r}")
        limit = None if timeout is None else _checked(timeout)
        wanted, version = _wanted(outputs), str(version)

        async def encode(inputs: Any, request_id: str) -> bytes:
            deadline = self._clock.now() + self._timeout
            fitted = await self._fitted(model, version, inputs, wanted, deadline, self._timeout, metadata)
            payload = build(model, version, fitted, request_id=request_id, outputs=wanted, parameters=parameters)
            self._transport.check_size(payload)
            return payload

        def open_call() -> Any:
            path, answer = _path("ModelStreamInfer"), pb.ModelStreamInferResponse
            return self._transport.stream(path, answer, timeout=limit, metadata=metadata)

        return InferStream(self._transport, open_call, encode, requests, model, limit, on_error)

    def model(
        self,
        name: str,
        *,
        version: str | int = "",
        timeout: float | None = None,
        metadata: Metadata | None = None,
        outputs: Sequence[str] = (),
    ) -> ModelHandle:
        """A handle: `digits = mesh.model("digits-svm")`, then `await digits(pixels=array)`."""
        return ModelHandle(self, name, version, timeout, metadata, outputs)

    async def models(self, *, timeout: float | None = None) -> list[ModelInfo]:
        """Every model of the mesh, by name (MeshService.ListModels; of a plain Triton its RepositoryIndex)."""
        return await list_models(self._transport, self._timeout if timeout is None else _checked(timeout))

    async def metadata(self, model: str, *, version: str | int = "", timeout: float | None = None) -> ModelMetadata:
        """What a model takes and gives, asked of the server anew."""
        seconds = self._timeout if timeout is None else _checked(timeout)
        self._signatures.drop(model, str(version))
        return await self._fetch(model, str(version), self._clock.now() + seconds, None)

    async def ready(self, model: str = "", *, version: str | int = "", timeout: float | None = None) -> bool:
        """Whether a model (without one: the server) takes requests; False where there is none, or nothing answers."""
        if model:
            request = pb.ModelReadyRequest(name=model, version=str(version))
            return await self._yes("ModelReady", request, pb.ModelReadyResponse, "ready", timeout, model)
        return await self._yes("ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse, "ready", timeout)

    async def live(self, *, timeout: float | None = None) -> bool:
        """Whether a server answers at all."""
        return await self._yes("ServerLive", pb.ServerLiveRequest(), pb.ServerLiveResponse, "live", timeout)

    async def _yes(
        self, method: str, request: Any, answer: Any, field: str, timeout: float | None, model: str = ""
    ) -> bool:
        seconds = self._timeout if timeout is None else _checked(timeout)
        payload = request.SerializeToString()
        try:
            response, _ = await self._transport.unary(_path(method), payload, answer, timeout=seconds, model=model)
        except (Unreachable, NoReplica, ModelNotFound, DeadlineExceeded):
            return False
        return bool(getattr(response, field))

    async def _fitted(
        self, model: str, version: str, inputs: Any, outputs: Sequence[str], deadline: float, timeout: float,
        metadata: Metadata | None,
    ) -> list[Fitted]:  # fmt: skip
        """The inputs as the model takes them. What was learnt earlier never refuses a request: it is read again first."""
        fresh = not self._signatures.known(model, version)
        signature = await self._signature(model, version, deadline, timeout, metadata)
        if signature is None:
            return unfitted(inputs, model)
        try:
            check_outputs(outputs, signature)
            fitted = fit(inputs, signature)
        except InvalidInput:
            if fresh:
                raise
            self._signatures.drop(model, version)
            return await self._fitted(model, version, inputs, outputs, deadline, timeout, metadata)
        for item in fitted:
            if item.note and (model, item.name) not in self._noted:
                self._noted.add((model, item.name))
                warnings.warn(item.note, CastWarning, stacklevel=_callers_level())
        return fitted

    async def _signature(
        self, model: str, version: str, deadline: float, timeout: float, metadata: Metadata | None
    ) -> ModelMetadata | None:
        async def fetch(name: str, number: str) -> ModelMetadata:
            return await self._fetch(name, number, self._clock.now() + self._timeout, metadata)

        if self._signatures.known(model, version):
            return await self._signatures.get(model, version, fetch)
        try:
            async with asyncio.timeout(max(deadline - self._clock.now(), 0)):
                return await self._signatures.get(model, version, fetch)
        except (TimeoutError, DeadlineExceeded):
            raise DeadlineExceeded(f"no answer from {model} within {timeout:g} s") from None

    async def _fetch(self, model: str, version: str, deadline: float, metadata: Metadata | None) -> ModelMetadata:
        async def ask(method: str, request: Any, answer: Any) -> Any:
            left = deadline - self._clock.now()
            payload = request.SerializeToString()
            response, _ = await self._transport.unary(
                _path(method), payload, answer, timeout=left, metadata=metadata, model=model
            )
            return response

        async def config() -> Any:
            try:
                request = pb.ModelConfigRequest(name=model, version=version)
                return (await ask("ModelConfig", request, pb.ModelConfigResponse)).config
            except Unsupported:
                return None  # an extension of Triton's: without it nobody knows which inputs are optional

        request = pb.ModelMetadataRequest(name=model, version=version)
        told, configured = await asyncio.gather(ask("ModelMetadata", request, pb.ModelMetadataResponse), config())
        return ModelMetadata.of(told, configured)


def _callers_level() -> int:
    """The stacklevel, for the function that asks, of the first frame that is not ours."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("inferloom."):
        level, frame = level + 1, frame.f_back
    return level


def _path(method: str) -> str:
    return f"/{SERVICE}/{method}"


def _wanted(outputs: Sequence[str]) -> Sequence[str]:
    return (outputs,) if isinstance(outputs, str) else tuple(outputs or ())


def _whole(error: DeadlineExceeded, model: str, timeout: float) -> DeadlineExceeded:
    """Our own message names the time the caller gave, of which the metadata's call may have used a part."""
    text = str(error)
    ours = text.startswith(("no answer from", "no time was left"))
    return DeadlineExceeded(f"no answer from {model} within {timeout:g} s") if ours else error


def _checked(timeout: float) -> float:
    if not 0 < timeout < 1e9:
        raise InvalidInput(f"timeout is in seconds, above 0 and finite; got {timeout!r}")
    return timeout
