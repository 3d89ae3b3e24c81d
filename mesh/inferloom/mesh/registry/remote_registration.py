"""A replica's place in the registry of another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import structlog

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.messages import replica_to
from inferloom.mesh.registry.remote_peer import PATIENCE, RETRY, Peer
from inferloom.v1 import mesh_pb2 as pb

__all__ = ["RemoteRegistration"]

log = structlog.get_logger(__name__)

GOODBYE = 1.0  # seconds for the other side to take a goodbye


class RemoteRegistration:
    """A stream of `Register`, opened again when it breaks.

    One that ends without a goodbye is a process that was lost, which the other side shows for a while.

    Args:
        forget: told when it is taken out.
    """

    def __init__(self, peer: Peer, replica: Replica, forget: Callable[[RemoteRegistration], None]) -> None:
        self._peer = peer
        self.replica = replica
        self._forget = forget
        self._changed = asyncio.Event()
        self._leaving = False
        self._task: asyncio.Task[None] | None = None
        self._call: Any = None

    async def start(self) -> None:
        call = await self._open()
        self._task = asyncio.create_task(self._keep(call), name=f"registration of {self.replica.model}")

    async def update(self, replica: Replica) -> None:
        self.replica = replace(replica, model=self.replica.model, id=self.replica.id)
        self._changed.set()

    async def deregister(self) -> None:
        """Say goodbye, and wait up to a second until the other side has taken it."""
        self._leaving = True
        self._forget(self)
        self._changed.set()
        if self._task is not None:
            if not self._call.done():
                await asyncio.wait({self._task}, timeout=GOODBYE)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()

    async def _open(self) -> Any:
        call = self._call = self._peer.stub.Register(metadata=self._peer.metadata)
        try:
            await asyncio.wait_for(self._say(call), PATIENCE)
        except TimeoutError:
            call.cancel()
            raise self._peer.unavailable() from None
        except grpc.aio.AioRpcError as error:
            raise self._peer.typed(error) from None
        return call

    async def _say(self, call: Any, *, goodbye: bool = False) -> None:
        self._changed.clear()
        await call.write(pb.RegisterRequest(replica=replica_to(self.replica), deregister=goodbye))
        if await call.read() is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise self._peer.unavailable()

    async def _keep(self, call: Any) -> None:
        while True:
            try:
                if not self._leaving:
                    await self._changed_or_ended(call)
                if self._leaving:  # not by cancelling what is being said, which would end the stream
                    if not call.done():
                        await self._say(call, goodbye=True)
                    return
                if call.done():
                    await self._peer.clock.sleep(RETRY)
                    call = await self._open()
                else:
                    await self._say(call)
            except (grpc.aio.AioRpcError, InferloomError) as error:
                if self._leaving:
                    return
                log.warning("registration is repeated", model=self.replica.model, error=str(error))
                await self._peer.clock.sleep(RETRY)

    async def _changed_or_ended(self, call: Any) -> None:
        changed = asyncio.create_task(self._changed.wait())
        ended = asyncio.create_task(call.code())
        try:
            await asyncio.wait({changed, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (changed, ended):
                task.cancel()
            await asyncio.gather(changed, ended, return_exceptions=True)
