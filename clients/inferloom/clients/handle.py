"""A model as something to call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.result import InferResult
from inferloom.clients.stream import InferStream, Requests
from inferloom.mesh.errors import InvalidInput

__all__ = ["Caller", "ModelHandle", "one_or_named"]


class Caller(Protocol):
    """What a handle needs of a client: `MeshClient` has it."""

    @property
    def infer(self) -> Callable[..., Awaitable[InferResult]]: ...

    @property
    def stream(self) -> Callable[..., InferStream]: ...

    @property
    def metadata(self) -> Callable[..., Awaitable[ModelMetadata]]: ...

    @property
    def ready(self) -> Callable[..., Awaitable[bool]]: ...


@dataclass(frozen=True, slots=True)
class ModelHandle:
    """One model of a `MeshClient`: `await digits(pixels=array)`. Made by `MeshClient.model`.

    Keywords are input names, so options are set with `options`, which makes another handle.
    """

    client: Caller
    name: str
    version: str | int = ""
    timeout: float | None = None
    metadata: Any = None
    outputs: Sequence[str] = ()

    def options(self, **changes: Any) -> ModelHandle:
        """The same model with another version, timeout, metadata or outputs."""
        return replace(self, **changes)

    async def __call__(self, /, *value: Any, **inputs: Any) -> InferResult:
        """As `MeshClient.infer`, with the inputs as keywords, or the only one as it is."""
        return await self.client.infer(
            self.name,
            one_or_named(self.name, value, inputs),
            version=self.version,
            timeout=self.timeout,
            metadata=self.metadata,
            outputs=self.outputs,
        )

    def stream(self, requests: Requests, **options: Any) -> InferStream:
        """As `MeshClient.stream`."""
        mine = {"version": self.version, "timeout": self.timeout, "metadata": self.metadata, "outputs": self.outputs}
        return self.client.stream(self.name, requests, **(mine | options))

    async def describe(self) -> ModelMetadata:
        """What it takes and gives."""
        return await self.client.metadata(self.name, version=self.version)

    async def ready(self) -> bool:
        return await self.client.ready(self.name, version=self.version)


def one_or_named(model: str, value: Iterable[Any], inputs: dict[str, Any]) -> Any:
    """The inputs of a handle's call; InvalidInput where they are given in two ways."""
    values = tuple(value)
    if not values:
        return inputs
    if len(values) > 1 or inputs:
        raise InvalidInput(f"call {model} with its inputs by name, or with one value where it takes one input")
    return values[0]
