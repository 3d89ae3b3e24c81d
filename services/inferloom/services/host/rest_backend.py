"""What stands behind a host's REST port: the same answers as its gRPC port gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from inferloom.mesh.clock import Clock
from inferloom.mesh.oip import Method
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.telemetry.tracing_span import carried
from inferloom.services.context import CallContext
from inferloom.services.host.face import HostFace
from inferloom.services.host.stream import LONGEST
from inferloom.services.rest.backend import Answered, Asked

__all__ = ["HostBackend"]

POLICY = TrafficPolicy()


class HostBackend:
    """A host's face, for REST requests."""

    def __init__(self, face: HostFace, clock: Clock) -> None:
        self._face = face
        self._clock = clock

    async def infer(self, request: Any, asked: Asked) -> Answered:
        return Answered(await self._face.infer(request, self._context(asked)))

    def stream(self, request: Any, asked: Asked) -> AsyncGenerator[Any, None]:
        return self._face.stream(request, self._context(asked, LONGEST, LONGEST))

    async def inform(self, method: Method, request: Any, asked: Asked) -> Any:
        return await self._face.answer(method.path, request.SerializeToString(), self._context(asked))

    def _context(self, asked: Asked, usual: float = POLICY.timeout, longest: float = POLICY.longest) -> CallContext:
        seconds = usual if asked.seconds is None else min(asked.seconds, longest)
        return CallContext(self._clock.now() + seconds, carried(asked.metadata))
