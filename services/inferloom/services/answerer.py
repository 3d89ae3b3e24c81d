"""The seam between a host's server and what it serves: services' methods and pipelines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.services.context import CallContext
from inferloom.services.signature import Signature

__all__ = ["Answerer", "Description"]


@dataclass(frozen=True, slots=True)
class Description:
    """The JSON side of something, for OpenAPI 3.1."""

    text: str  # first paragraph of its docstring
    request: dict[str, Any]  # JSON Schema of the object that `call_json` takes, its definitions inside ("$defs")
    response: dict[str, Any]
    streams: bool = False
    method: str = ""  # of a service: the method that answers under this name


class Answerer(Protocol):
    """One name in the catalog. Methods raise InferloomError; anything else is the user's own exception.

    A user's exception reaches the caller as its type and message (gRPC UNKNOWN, HTTP 500); its stack trace goes to the log.
    """

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def repeat(self) -> Repeat: ...

    @property
    def signature(self) -> Signature: ...

    async def infer(self, request: Any, context: CallContext) -> Any:
        """A ModelInferResponse for a ModelInferRequest."""

    def stream(self, request: Any, context: CallContext) -> AsyncIterator[Any]:
        """ModelInferResponses, one by one. Unsupported where it answers once: use `infer`."""

    async def call_json(self, body: bytes, context: CallContext) -> bytes:
        """A JSON answer for a JSON object. InvalidInput names the field's path."""

    def stream_json(self, body: bytes, context: CallContext) -> AsyncIterator[bytes]: ...

    def describe(self) -> Description: ...
