"""`inferloom.v1.MeshService`: the catalog and the documents, for whoever subscribes to this process."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import grpc

from inferloom.mesh.catalog import EMPTY, Catalog, Kind, Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import Forbidden, InvalidInput, Unauthenticated, Unsupported
from inferloom.mesh.names import check_name
from inferloom.mesh.registry.base import Document, DocumentKey, Registry
from inferloom.mesh.registry.messages import document_to, model_to, replica_from
from inferloom.mesh.registry.tenants import Tenants
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.router.split_service import SplitService
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["MeshService"]

NO_ROUTER = "no router runs in this process: ask one for the figures of splits"
KINDS = frozenset(Kind)  # of documents that say what is served under their names


class MeshService(mesh_pb2_grpc.MeshServiceServicer):
    """Answers from a registry.

    Args:
        pool: where a router answers: its view of each replica's load; None elsewhere.
        write_token: who shows it may write; None: nobody may.
        splits: where a router answers: figures and exposures; None elsewhere.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        pool: Pool | None = None,
        write_token: str | None = None,
        splits: SplitService | None = None,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._pool = pool
        self._write_token = write_token
        self._splits = splits
        self._tenants = Tenants(registry, clock)

    async def close(self) -> None:
        """To be called before the server ends its streams: who is registered here is not lost by that."""
        await self._tenants.close()

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        catalog = self._registry.catalog
        models = [model_to(model) for model in catalog.models.values()]
        if request.with_load and self._pool is not None:
            for model in models:
                self._add_load(model)
        age = 0.0 if catalog.fresh else self._registry.age
        return pb.ListModelsResponse(models=models, index=catalog.index, age_seconds=age)

    async def WatchModels(  # noqa: N802
        self, request: pb.WatchModelsRequest, context: Any
    ) -> AsyncIterator[pb.CatalogChange]:
        before: Catalog | None = None
        async for catalog in self._registry.watch():
            yield _change(before, catalog)
            before = catalog

    async def Register(self, requests: Any, context: Any) -> AsyncIterator[pb.RegisterResponse]:  # noqa: N802
        tenant = self._tenants.enter()
        try:
            self._may_write(context)
            async for request in requests:
                replica = _checked(request.replica)
                if request.deregister:
                    await tenant.leave(replica)
                else:
                    await tenant.put(replica)
                yield pb.RegisterResponse(model=replica.model, id=replica.id)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await tenant.end(told=True)
            await abort(context, error, "Register")
        finally:
            await tenant.end()

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Any) -> pb.GetDocumentResponse:  # noqa: N802
        try:
            document = await self._registry.documents.get(request.kind, request.name)
        except Exception as error:
            await abort(context, error, "GetDocument")
            raise
        return pb.GetDocumentResponse(document=document_to(document) if document is not None else None)

    async def PutDocument(self, request: pb.PutDocumentRequest, context: Any) -> pb.Document:  # noqa: N802
        try:
            self._may_write(context)
            check_name(request.kind, "kind of document")
            check_name(request.name, "name of a document")
            document = await self._registry.documents.put(
                request.kind,
                request.name,
                _spec(request.spec_json),
                expected_version=request.expected_version if request.HasField("expected_version") else None,
                author=request.author,
            )
            if document.spec is None and document.kind in KINDS:
                await self._tenants.forget(document.name)
        except Exception as error:
            await abort(context, error, "PutDocument")
            raise
        return document_to(document)

    async def ListHistory(self, request: pb.ListHistoryRequest, context: Any) -> pb.ListHistoryResponse:  # noqa: N802
        try:
            history = await self._registry.documents.history(request.kind, request.name)
        except Exception as error:
            await abort(context, error, "ListHistory")
            raise
        return pb.ListHistoryResponse(documents=[document_to(document) for document in history])

    async def WatchDocuments(  # noqa: N802
        self, request: pb.WatchDocumentsRequest, context: Any
    ) -> AsyncIterator[pb.DocumentsChange]:
        before: Mapping[DocumentKey, Document] | None = None
        async for documents in self._registry.documents.watch(request.kind):
            known = before or {}
            changed = [document_to(d) for key, d in documents.items() if known.get(key) is not d]
            gone = [pb.Document(kind=kind, name=name) for kind, name in known.keys() - documents.keys()]
            yield pb.DocumentsChange(complete=before is None, documents=changed + gone)
            before = documents

    async def SplitFigures(self, request: pb.SplitFiguresRequest, context: Any) -> pb.SplitFiguresResponse:  # noqa: N802
        if self._splits is None:
            await abort(context, Unsupported(NO_ROUTER), "SplitFigures")
        assert self._splits is not None
        return await self._splits.SplitFigures(request, context)

    async def WatchExposures(  # noqa: N802
        self, request: pb.WatchExposuresRequest, context: Any
    ) -> AsyncIterator[pb.Exposure]:
        if self._splits is None:
            await abort(context, Unsupported(NO_ROUTER), "WatchExposures")
        assert self._splits is not None
        async for exposure in self._splits.WatchExposures(request, context):
            yield exposure

    def _may_write(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        if self._write_token is None:
            raise Forbidden("this router takes no writes: start it with --token-file, or write to Consul")
        sent = dict(context.invocation_metadata() or ()).get("authorization", "")
        if not hmac.compare_digest(str(sent).encode(), f"Bearer {self._write_token}".encode()):
            raise Unauthenticated("writing needs the mesh's token: run as the user who runs the mesh, or give --token")

    def _add_load(self, model: pb.Model) -> None:
        assert self._pool is not None
        group = self._pool.groups.get(model.name)
        if group is None:
            return
        for replica in model.replicas:
            endpoint = group.endpoints.get(replica.id)
            if endpoint is not None:
                _load(replica.load, endpoint, self._clock.now())


def _checked(message: pb.Replica) -> Replica:
    """The replica in a message of whoever may write; a weight that is not given is 1.

    Raises:
        InvalidInput: its id, address or weight would break whoever routes to it.
    """
    replica = replica_from(message)
    check_name(replica.model)
    what = f"replica '{replica.id}' of '{replica.model}'"
    if not replica.id:
        raise InvalidInput(f"a replica of '{replica.model}' has no id")
    if not replica.host or not 0 < replica.port < 65536:
        raise InvalidInput(f"{what}: host {replica.host!r}, port {replica.port} is no address")
    weight = replica.weight or 1.0
    if not 0 < weight < math.inf:
        raise InvalidInput(f"{what}: its weight is {weight}, and must be above 0")
    return replace(replica, weight=weight)


def _load(message: pb.ReplicaLoad, endpoint: Endpoint, now: float) -> None:
    message.breaker = str(endpoint.health.state)
    message.why = endpoint.why_out(now)
    message.in_flight = endpoint.load.in_flight
    message.latency_ms = endpoint.load.seconds * 1e3
    message.requests = endpoint.load.requests
    message.failures = endpoint.load.failures


def _spec(spec_json: str) -> dict[str, Any] | None:
    if not spec_json:
        return None
    try:
        spec = json.loads(spec_json)
    except ValueError as error:
        raise InvalidInput(f"spec_json is no JSON: {error}") from None
    if not isinstance(spec, dict):
        raise InvalidInput(f"spec_json must be an object, not {type(spec).__name__}")
    return spec


def _change(before: Catalog | None, after: Catalog) -> pb.CatalogChange:
    known = (before or EMPTY).models
    changed = [model_to(model) for name, model in after.models.items() if known.get(name) is not model]
    removed = sorted(known.keys() - after.models.keys())
    return pb.CatalogChange(
        index=after.index, complete=before is None, models=changed, removed=removed, fresh=after.fresh
    )
