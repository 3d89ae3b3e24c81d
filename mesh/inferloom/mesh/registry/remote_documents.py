"""The documents of another process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import grpc
import structlog

from inferloom.mesh.registry.base import Document, DocumentKey, Spec
from inferloom.mesh.registry.messages import document_from
from inferloom.mesh.registry.remote_peer import PATIENCE, RETRY, Peer
from inferloom.v1 import mesh_pb2 as pb

__all__ = ["RemoteDocuments"]

log = structlog.get_logger(__name__)
T = TypeVar("T")


class RemoteDocuments:
    """Documents over MeshService."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def get(self, kind: str, name: str) -> Document | None:
        request = pb.GetDocumentRequest(kind=kind, name=name)
        answer = await self._ask(self._peer.stub.GetDocument(request, timeout=PATIENCE, metadata=self._peer.metadata))
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
        answer = await self._ask(self._peer.stub.PutDocument(request, timeout=PATIENCE, metadata=self._peer.metadata))
        return document_from(answer)

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        request = pb.ListHistoryRequest(kind=kind, name=name)
        answer = await self._ask(self._peer.stub.ListHistory(request, timeout=PATIENCE, metadata=self._peer.metadata))
        return tuple(document_from(document) for document in answer.documents)

    async def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        """Goes on when the other side is gone and comes back."""
        known: dict[DocumentKey, Document] = {}
        while True:
            try:
                request = pb.WatchDocumentsRequest(kind=kind)
                async for change in self._peer.stub.WatchDocuments(request, metadata=self._peer.metadata):
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
            await self._peer.clock.sleep(RETRY)

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._peer.typed(error) from None
