"""Asks a mesh what it remembers and does: for `inferloom explain` and `inferloom top`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import RegistryUnavailable, Unsupported
from inferloom.v1 import explain_pb2_grpc, mesh_pb2_grpc

__all__ = ["Asking", "connected"]

PATIENCE = 5.0  # seconds


class Asking:
    """The services of one mesh.

    Args:
        absent: what is said where nobody answers; "": that there is no mesh.
    """

    def __init__(self, endpoint: Endpoint, channel: grpc.aio.Channel, token: str | None, absent: str = "") -> None:
        self.address = endpoint.address
        self._absent = absent or f"no mesh answers at {self.address}: start one with `inferloom up`"
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._mesh: Any = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]
        self._explain: Any = explain_pb2_grpc.ExplainServiceStub(channel)  # type: ignore[no-untyped-call]

    async def mesh(self, method: str, request: Any) -> Any:
        """MeshService. Raises as `explain`."""
        return await self._ask(getattr(self._mesh, method), request)

    async def explain(self, method: str, request: Any) -> Any:
        """ExplainService.

        Raises:
            RegistryUnavailable: no mesh answers there, or it answers with an error.
            Unsupported: it has no such method.
            grpc.aio.AioRpcError: NOT_FOUND.
        """
        return await self._ask(getattr(self._explain, method), request)

    async def _ask(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=PATIENCE, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            code, told = error.code(), f"{self.address}: {error.details()}"
            if code is grpc.StatusCode.NOT_FOUND:
                raise
            if code is grpc.StatusCode.UNIMPLEMENTED:
                raise Unsupported(f"{told}: nothing of this release answers there") from None
            if code is grpc.StatusCode.UNAVAILABLE:
                told = self._absent
            raise RegistryUnavailable(told) from None


@asynccontextmanager
async def connected(endpoint: Endpoint, token: str | None, absent: str = "") -> AsyncIterator[Asking]:
    """A connection for as long as the block. `absent` as Asking takes it."""
    async with endpoint.connect() as channel:
        yield Asking(endpoint, channel, token, absent)
