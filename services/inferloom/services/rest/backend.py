"""The seam between the REST face and what stands behind it: a host's table of answerers, or a router."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple, Protocol

from inferloom.mesh.call import Metadata
from inferloom.mesh.oip import Method

__all__ = ["Answered", "Asked", "Backend", "Streaming"]


class Asked(NamedTuple):
    """What came with a request."""

    metadata: Metadata = ()
    seconds: float | None = None  # that the caller gives it; None: he does not say


class Answered(NamedTuple):
    """A ModelInferResponse, and what the replica told in metadata with it."""

    message: Any
    told: Metadata = ()


class Backend(Protocol):
    """Methods raise InferloomError; anything else is a fault of ours."""

    async def infer(self, request: Any, asked: Asked) -> Answered:
        """The answer to a ModelInferRequest."""

    async def inform(self, method: Method, request: Any, asked: Asked) -> Any:
        """The answer to one of the protocol's other calls, all messages."""


class Streaming(Backend, Protocol):
    """A backend that also gives answers one by one."""

    def stream(self, request: Any, asked: Asked) -> AsyncGenerator[Any, None]:
        """ModelInferResponses, one by one; one, where the model answers once."""
