"""The registry of another process, subscribed to over `MeshService`.

Worker processes, the command line and every process beyond the first on a machine use it, so that Consul is watched once
per machine. While the other process is gone the last snapshot keeps serving (`fresh` False), and what was registered here
is registered again when it is back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

import grpc
import structlog

from inferloom.mesh.catalog import EMPTY, Catalog, Model, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import (
    Conflict,
    Forbidden,
    InferloomError,
    InvalidInput,
    RegistryUnavailable,
    Unauthenticated,
)
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Document, DocumentKey, Spec
from inferloom.mesh.registry.messages import document_from, model_from, replica_to
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["RemoteRegistry"]

log = structlog.get_logger(__name__)
T = TypeVar("T")

RETRY = 0.5  # seconds between attempts to subscribe again; the channel's own backoff is up to 2 s
PATIENCE = 5.0  # seconds for one call about documents

_BY_CODE: dict[grpc.StatusCode, type[InferloomError]] = {
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
}


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
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
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
        self._stub: Any = mesh_pb2_grpc.MeshServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._latest: Latest[Catalog] = Latest(EMPTY)
        self._seen: float | None = None  # when the other side last confirmed the catalog
        self._first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._registrations: set[RemoteRegistration] = set()
        self.documents = RemoteDocuments(self._stub, self._metadata, self._unavailable, clock)

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
            raise self._unavailable() from None

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for registration in tuple(self._registrations):
            await registration.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._channel.close(None)

    async def register(self, replica: Replica) -> RemoteRegistration:
        registration = RemoteRegistration(self, replica)
        self._registrations.add(registration)
        try:
            await registration.start()
        except BaseException:
            self._registrations.discard(registration)
            raise
        return registration

    def _unavailable(self) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"no mesh answers at {self.address}: start one with `inferloom up`, or give its address"
        )

    async def _follow(self) -> None:
        while True:
            try:
                async for change in self._stub.WatchModels(pb.WatchModelsRequest(), metadata=self._metadata):
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

    def _forget(self, registration: RemoteRegistration) -> None:
        self._registrations.discard(registration)


class RemoteRegistration:
    """A stream of `Register`: the other side takes the replica out when the stream ends."""

    def __init__(self, registry: RemoteRegistry, replica: Replica) -> None:
        self._registry = registry
        self.replica = replica
        self._changed = asyncio.Event()
        self._gone = False
        self._task: asyncio.Task[None] | None = None
        self._call: Any = None

    async def start(self) -> None:
        call = await self._open()
        self._task = asyncio.create_task(self._keep(call), name=f"registration of {self.replica.model}")

    async def update(self, replica: Replica) -> None:
        self.replica = replace(replica, model=self.replica.model, id=self.replica.id)
        self._changed.set()

    async def deregister(self) -> None:
        await self.close()

    async def close(self) -> None:
        self._gone = True
        self._registry._forget(self)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._call is not None:
            self._call.cancel()

    async def _open(self) -> Any:
        call = self._call = self._registry._stub.Register(metadata=self._registry._metadata)
        try:
            await asyncio.wait_for(self._say(call), PATIENCE)
        except TimeoutError:
            call.cancel()
            raise self._registry._unavailable() from None
        except grpc.aio.AioRpcError as error:
            raise _typed(error, self._registry._unavailable) from None
        return call

    async def _say(self, call: Any) -> None:
        self._changed.clear()
        await call.write(pb.RegisterRequest(replica=replica_to(self.replica)))
        if await call.read() is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise self._registry._unavailable()

    async def _keep(self, call: Any) -> None:
        while not self._gone:
            try:
                changed = asyncio.create_task(self._changed.wait())
                ended = asyncio.create_task(call.code())
                try:
                    await asyncio.wait({changed, ended}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in (changed, ended):
                        task.cancel()
                    await asyncio.gather(changed, ended, return_exceptions=True)
                if call.done():
                    await self._registry._clock.sleep(RETRY)
                    call = await self._open()
                else:
                    await self._say(call)
            except (grpc.aio.AioRpcError, InferloomError) as error:
                log.warning("registration is repeated", model=self.replica.model, error=str(error))
                await self._registry._clock.sleep(RETRY)


class RemoteDocuments:
    """Documents over MeshService."""

    def __init__(self, stub: Any, metadata: Any, unavailable: Callable[[], RegistryUnavailable], clock: Clock) -> None:
        self._stub = stub
        self._metadata = metadata
        self._unavailable = unavailable
        self._clock = clock

    async def get(self, kind: str, name: str) -> Document | None:
        request = pb.GetDocumentRequest(kind=kind, name=name)
        answer = await self._ask(self._stub.GetDocument(request, timeout=PATIENCE, metadata=self._metadata))
        return document_from(answer.document) if answer.HasField("document") else None

    async def put(
        self, kind: str, name: str, spec: Spec | None, *, expected_version: int | None = None, author: str = ""
    ) -> Document:
        request = pb.PutDocumentRequest(
            kind=kind,
            name=name,
            spec_json="" if spec is None else json.dumps(spec),
            expected_version=expected_version,
            author=author,
        )
        answer = await self._ask(self._stub.PutDocument(request, timeout=PATIENCE, metadata=self._metadata))
        return document_from(answer)

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        request = pb.ListHistoryRequest(kind=kind, name=name)
        answer = await self._ask(self._stub.ListHistory(request, timeout=PATIENCE, metadata=self._metadata))
        return tuple(document_from(document) for document in answer.documents)

    async def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        """Goes on when the other side is gone and comes back."""
        known: dict[DocumentKey, Document] = {}
        while True:
            try:
                request = pb.WatchDocumentsRequest(kind=kind)
                async for change in self._stub.WatchDocuments(request, metadata=self._metadata):
                    before, known = known, {} if change.complete else dict(known)
                    for message in change.documents:
                        document = document_from(message)
                        if document.spec is None:
                            known.pop(document.key, None)
                        else:
                            old = before.get(document.key)
                            known[document.key] = old if old == document else document
                    yield MappingProxyType(known)
            except grpc.aio.AioRpcError as error:
                log.debug("documents not watched", code=error.code().name)
            await self._clock.sleep(RETRY)

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise _typed(error, self._unavailable) from None


def _typed(error: grpc.aio.AioRpcError, unavailable: Callable[[], RegistryUnavailable]) -> InferloomError:
    kind = _BY_CODE.get(error.code())
    if kind is not None:
        return kind(error.details() or "")
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return unavailable()
    return InferloomError(error.details() or error.code().name)
