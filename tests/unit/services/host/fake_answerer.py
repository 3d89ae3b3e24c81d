"""An answerer for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.catalog import Kind, Repeat
from inferloom.services.answerer import Description
from inferloom.services.context import CallContext
from inferloom.services.signature import Signature

__all__ = ["FakeAnswerer"]

X = TensorSpec("x", "FP32", (-1, 4))
TEXT = TensorSpec("text", "BYTES", (1,), optional=True)


@dataclass
class FakeAnswerer:
    name: str
    version: str = "1"
    kind: Kind = Kind.SERVICE
    repeat: Repeat = Repeat.UNBEGUN
    signature: Signature = field(default_factory=lambda: Signature((X, TEXT), (X,)))
    max_batch_size: int = 0

    async def infer(self, request: Any, context: CallContext) -> Any:
        raise NotImplementedError

    async def call_json(self, body: bytes, context: CallContext) -> bytes:
        raise NotImplementedError

    def stream(self, request: Any, context: CallContext) -> AsyncIterator[Any]:
        raise NotImplementedError

    def stream_json(self, body: bytes, context: CallContext) -> AsyncIterator[bytes]:
        raise NotImplementedError

    def describe(self) -> Description:
        return Description("", {}, {})
