"""How handles reach a mesh from outside of one: in tests, scripts and notebooks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from inferloom.clients.aio import MeshClient
from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.result import InferResult
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import Unreachable
from inferloom.services.context import inherited, remaining

__all__ = ["LocalCaller"]

TIMEOUT = 30.0  # seconds, where nothing else is said


class LocalCaller:
    """Calls through a client of a mesh, for what runs outside of one: tests, scripts, notebooks.

    Args:
        replaced: names that functions answer for, for the message where no mesh answers.
    """

    def __init__(self, replaced: Sequence[str] = (), clock: Clock = SYSTEM) -> None:
        self._replaced = replaced
        self._clock = clock
        self._client: MeshClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()

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
        seconds = remaining(timeout, TIMEOUT, self._clock)
        try:
            return await self._connected().infer(
                model, inputs, version=version, timeout=seconds, metadata=inherited(metadata), outputs=outputs,
                parameters=parameters,
            )  # fmt: skip
        except Unreachable as error:
            raise self._explained(model, error) from None

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
        seconds = remaining(timeout, TIMEOUT, self._clock)
        stream = self._connected().stream(
            model, inputs, version=version, timeout=seconds, metadata=inherited(metadata), outputs=outputs,
            parameters=parameters,
        )  # fmt: skip
        try:
            async with stream:
                async for answer in stream:
                    yield answer
        except Unreachable as error:
            raise self._explained(model, error) from None

    async def metadata(self, model: str, version: str = "") -> ModelMetadata:
        try:
            return await self._connected().metadata(model, version=version)
        except Unreachable as error:
            raise self._explained(model, error) from None

    def _connected(self) -> MeshClient:
        if self._client is None:
            self._client = MeshClient()
        return self._client

    def _explained(self, model: str, error: Unreachable) -> Unreachable:
        also = f" (replaced are {', '.join(self._replaced)})" if self._replaced else ""
        why = str(error).partition(";")[0]
        return Unreachable(
            f"'{model}' is called{also}, and no mesh answers: {why}; give a function for it, "
            f'run_local(..., handles={{"{model}": function}}), or start a mesh with `inferloom up`'
        )
