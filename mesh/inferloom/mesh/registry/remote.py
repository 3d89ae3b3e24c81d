"""The registry of another process, subscribed to over `MeshService`.

Worker processes, the command line and every process beyond the first on a machine use it, so that Consul is watched once
per machine. While the other process is gone the last snapshot keeps serving (`fresh` False), and what was registered here
is registered again when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import grpc
import structlog

from inferloom.mesh.catalog import EMPTY, Catalog, Model, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.messages import model_from
from inferloom.mesh.registry.remote_documents import RemoteDocuments
from inferloom.mesh.registry.remote_peer import PATIENCE, RETRY, Peer
from inferloom.mesh.registry.remote_registration import RemoteRegistration
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["RemoteRegistry"]

log = structlog.get_logger(__name__)


class RemoteRegistry:
    """Follows the MeshService at an address.

    Args:
        address: host:port of a router (or control plane).
        token: its bearer token; needed to write, and for everything where it asks for one.
        credentials: TLS; None for plain text.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.address = address
        self._clock = clock
        options = [
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", 256 * 1024 * 1024),
        ]
        self._channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        stub: Any = mesh_pb2_grpc.MeshServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._peer = Peer(address, stub, (("authorization", f"Bearer {token}"),) if token else (), clock)
        self._latest: Latest[Catalog] = Latest(EMPTY)
        self._seen: float | None = None  # when the other side last confirmed the catalog
        self._first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._registrations: set[RemoteRegistration] = set()
        self.documents = RemoteDocuments(self._peer)

    @property
    def catalog(self) -> Catalog:
        return self._latest.value

    @property
    def age(self) -> float:
        if self._seen is None:
            return float("inf")
        return 0.0 if self._latest.value.fresh else self._clock.now() - self._seen

    def watch(self) -> AsyncIterator[Catalog]:
        return self._latest.watch()

    async def start(self) -> None:
        """Raises RegistryUnavailable where nobody answers at the address within 5 s."""
        self._tasks.append(asyncio.create_task(self._follow(), name=f"watch models of {self.address}"))
        try:
            await asyncio.wait_for(self._first.wait(), PATIENCE)
        except TimeoutError:
            await self.close()
            raise self._peer.unavailable() from None

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(registration.deregister() for registration in tuple(self._registrations)))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._channel.close(None)

    async def register(self, replica: Replica) -> RemoteRegistration:
        registration = RemoteRegistration(self._peer, replica, self._registrations.discard)
        self._registrations.add(registration)
        try:
            await registration.start()
        except BaseException:
            self._registrations.discard(registration)
            raise
        return registration

    async def _follow(self) -> None:
        while True:
            try:
                async for change in self._peer.stub.WatchModels(pb.WatchModelsRequest(), metadata=self._peer.metadata):
                    self._apply(change)
            except grpc.aio.AioRpcError as error:
                log.debug("subscription ended", address=self.address, code=error.code().name)
            except Exception as error:  # the catalog must not freeze as fresh because one change was odd
                log.error("a change of the catalog was not understood", address=self.address, exc_info=error)
            if self._latest.value.fresh and self._seen is not None:
                self._seen = self._clock.now()
                self._latest.set(replace(self._latest.value, fresh=False))
            await self._clock.sleep(RETRY)

    def _apply(self, change: pb.CatalogChange) -> None:
        before = self._latest.value.models
        models: dict[str, Model] = {} if change.complete else dict(before)
        for message in change.models:
            model = model_from(message)
            known = before.get(model.name)
            models[model.name] = known if known is not None and known.replicas == model.replicas else model
        for name in change.removed:
            models.pop(name, None)
        self._seen = self._clock.now()
        ordered = MappingProxyType({name: models[name] for name in sorted(models)})
        self._latest.set(Catalog(ordered, change.index, change.fresh))
        self._first.set()
