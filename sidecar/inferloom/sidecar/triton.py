"""A connection to one Triton: the calls a sidecar makes, over its own channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from inferloom.mesh.listen import Address
from inferloom.mesh.oip import SERVICE, pb
from inferloom.sidecar.flags import SECRET_HEADER

__all__ = ["ModelState", "TritonClient", "TritonError", "one_line"]

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)


class TritonError(Exception):
    """Triton's own refusal.

    Args:
        code: its gRPC status code.
        text: its message.
    """

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def unreachable(self) -> bool:
        """Whether it may be the server, rather than the request, that is at fault."""
        return self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@dataclass(frozen=True, slots=True)
class ModelState:
    """One line of Triton's repository index."""

    state: str  # "READY", "UNAVAILABLE", "LOADING", "UNLOADING"
    reason: str


def one_line(text: str, limit: int = 400) -> str:
    """Triton's text for people: its first sentence on one line, without the stack and the frames around it."""
    head = text.partition("\n\nAt:\n")[0]
    joined = " ".join(head.replace("\\n", "\n").split()).rstrip(" ;,")
    for marker in ("is at UNAVAILABLE state: ", "Internal: "):
        if marker in joined:
            joined = joined.rpartition(marker)[2]
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


class TritonClient:
    """The calls of the Open Inference Protocol and of Triton's extensions that a sidecar needs.

    Each raises TritonError where Triton refuses or does not answer in `timeout` seconds.
    """

    def __init__(self, host: str, port: int, *, secret: str = "", timeout: float = 5.0) -> None:
        self._channel = grpc.aio.insecure_channel(str(Address(host, port)), options=OPTIONS)
        self._metadata = ((SECRET_HEADER, secret),) if secret else ()
        self._timeout = timeout
        self._calls: dict[str, grpc.aio.UnaryUnaryMultiCallable[Any, Any]] = {}

    async def close(self) -> None:
        await self._channel.close(None)

    async def call(self, method: str, request: Any, timeout: float | None = None) -> Any:
        callable_ = self._calls.get(method)
        if callable_ is None:
            response = getattr(pb, f"{method}Response")
            callable_ = self._calls[method] = self._channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString,
            )
        try:
            return await callable_(request, timeout=timeout or self._timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise TritonError(error.code(), error.details() or error.code().name) from None

    async def live(self, timeout: float | None = None) -> bool:
        return bool((await self.call("ServerLive", pb.ServerLiveRequest(), timeout)).live)

    async def version(self) -> str:
        """Triton's version, "2.51.0"."""
        return str((await self.call("ServerMetadata", pb.ServerMetadataRequest())).version)

    async def ready(self, model: str, version: str = "", timeout: float | None = None) -> bool:
        request = pb.ModelReadyRequest(name=model, version=version)
        return bool((await self.call("ModelReady", request, timeout)).ready)

    async def load(self, model: str, config: Mapping[str, Any] | None, timeout: float) -> None:
        """Load or reload a model; `config` (ModelConfig as JSON) takes the place of its config.pbtxt."""
        request = pb.RepositoryModelLoadRequest(model_name=model)
        if config is not None:
            request.parameters["config"].string_param = json.dumps(config)
        await self.call("RepositoryModelLoad", request, timeout)

    async def unload(self, model: str, timeout: float) -> None:
        await self.call("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name=model), timeout)

    async def index(self) -> dict[str, dict[str, ModelState]]:
        """State of each version (outer key: model; inner: version) that Triton has ever tried to load."""
        models: dict[str, dict[str, ModelState]] = {}
        for entry in (await self.call("RepositoryIndex", pb.RepositoryIndexRequest())).models:
            versions = models.setdefault(entry.name, {})
            if entry.version:
                versions[entry.version] = ModelState(entry.state, entry.reason)
        return models

    async def metadata(self, model: str, version: str) -> Any:
        return await self.call("ModelMetadata", pb.ModelMetadataRequest(name=model, version=version))

    async def config(self, model: str, version: str) -> Any:
        return (await self.call("ModelConfig", pb.ModelConfigRequest(name=model, version=version))).config

    async def infer(self, request: Any, timeout: float) -> Any:
        return await self.call("ModelInfer", request, timeout)

    async def wait_live(self, timeout: float) -> None:
        """Return once it answers ServerLive.

        Raises:
            TritonError: it did not within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while True:
                try:
                    if await self.live(1.0):
                        return
                except TritonError as error:
                    if not error.unreachable:
                        raise
                await asyncio.sleep(0.05)
