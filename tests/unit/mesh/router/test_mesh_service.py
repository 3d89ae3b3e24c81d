"""MeshService without a network: its methods are called as grpc would call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.messages import replica_to
from inferloom.mesh.router.mesh_service import MeshService
from inferloom.v1 import mesh_pb2 as pb
from tests.unit.mesh.fakes import replica
from tests.unit.mesh.router.face_fakes import Aborted, FakeContext, FakeRouter

TOKEN = (("authorization", "Bearer secret"),)


class Requests:
    """A stream of requests that a test feeds; `end` is the caller's last word."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[pb.RegisterRequest | None] = asyncio.Queue()

    def put(self, key: str, *, deregister: bool = False, **changes: Any) -> None:
        self._queue.put_nowait(pb.RegisterRequest(replica=replica_to(replica(key, **changes)), deregister=deregister))

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[pb.RegisterRequest]:
        while (request := await self._queue.get()) is not None:
            yield request


def service(registry: MemoryRegistry, token: str | None = "secret") -> MeshService:
    return MeshService(registry, ManualClock(), write_token=token)


async def test_models_are_listed_with_the_routers_view_of_their_load() -> None:
    router = FakeRouter(replica("a"), replica("b"))
    router.pool.groups["iris"].endpoints["b"].health.refuse("no connection")
    answers = MeshService(router.memory, router.manual, router.pool)
    answer = await answers.ListModels(pb.ListModelsRequest(with_load=True), FakeContext())
    (model,) = answer.models
    assert [(one.id, one.load.breaker) for one in model.replicas] == [("a", "closed"), ("b", "open")]
    assert model.replicas[1].load.why == "open (no connection)"
    plain = await answers.ListModels(pb.ListModelsRequest(), FakeContext())
    assert not plain.models[0].replicas[0].HasField("load")


async def test_a_watcher_gets_everything_once_and_then_the_changes() -> None:
    registry = MemoryRegistry(ManualClock())
    iris = await registry.register(replica("a"))
    changes = service(registry).WatchModels(pb.WatchModelsRequest(), FakeContext())
    first = await anext(changes)
    assert first.complete
    assert [model.name for model in first.models] == ["iris"]
    await registry.register(replica("a", model="digits"))
    second = await anext(changes)
    assert not second.complete
    assert [model.name for model in second.models] == ["digits"]
    await iris.deregister()
    third = await anext(changes)
    assert (list(third.models), list(third.removed)) == ([], ["iris"])


async def test_a_registration_lasts_as_long_as_its_stream() -> None:
    registry, requests = MemoryRegistry(ManualClock()), Requests()
    stream = service(registry).Register(requests, FakeContext(metadata=TOKEN))
    requests.put("a")
    requests.put("b")
    assert (await anext(stream)).id == "a"
    assert (await anext(stream)).id == "b"
    requests.put("a", weight=2.0)
    await anext(stream)
    assert [one.weight for one in registry.catalog.replicas()] == [2.0, 1.0]
    requests.put("b", deregister=True)
    await anext(stream)
    assert [one.id for one in registry.catalog.replicas()] == ["a"]
    requests.end()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert not registry.catalog.models


async def test_the_end_of_an_old_stream_does_not_take_out_what_a_new_one_registered() -> None:
    registry, old, new = MemoryRegistry(ManualClock()), Requests(), Requests()
    before = service(registry).Register(old, FakeContext(metadata=TOKEN))
    old.put("a", generation=1)
    await anext(before)
    after = service(registry).Register(new, FakeContext(metadata=TOKEN))
    new.put("a", generation=2)  # it was started again before anybody noticed that the first one was gone
    await anext(after)
    old.end()
    with pytest.raises(StopAsyncIteration):
        await anext(before)
    assert [one.generation for one in registry.catalog.replicas()] == [2]


@pytest.mark.parametrize(
    ("token", "metadata", "code"),
    [
        (None, TOKEN, StatusCode.PERMISSION_DENIED),
        ("secret", (), StatusCode.UNAUTHENTICATED),
        ("secret", (("authorization", "Bearer other"),), StatusCode.UNAUTHENTICATED),
    ],
    ids=["nobody may write", "no token", "a wrong token"],
)
async def test_writing_needs_the_meshs_token(token: str | None, metadata: Any, code: StatusCode) -> None:
    registry = MemoryRegistry(ManualClock())
    context = FakeContext(metadata=metadata)
    with pytest.raises(Aborted):
        await service(registry, token).PutDocument(pb.PutDocumentRequest(kind="model", name="iris"), context)
    assert context.code is code
    requests, context = Requests(), FakeContext(metadata=metadata)
    requests.put("a")
    with pytest.raises(Aborted):
        await anext(service(registry, token).Register(requests, context))
    assert context.code is code
    assert not registry.catalog.models


async def put(registry: MemoryRegistry, spec: str, name: str = "iris", **more: Any) -> tuple[Any, FakeContext]:
    context = FakeContext(metadata=TOKEN)
    request = pb.PutDocumentRequest(kind="model", name=name, spec_json=spec, author="ada", **more)
    try:
        return await service(registry).PutDocument(request, context), context
    except Aborted:
        return None, context


async def test_documents_are_put_got_listed_and_deleted() -> None:
    registry = MemoryRegistry(ManualClock())
    document, _ = await put(registry, '{"n": 1}', expected_version=0)
    assert (document.version, document.author) == (1, "ada")
    await put(registry, "", expected_version=1)
    got = await service(registry).GetDocument(pb.GetDocumentRequest(kind="model", name="iris"), FakeContext())
    assert not got.HasField("document")
    history = await service(registry).ListHistory(pb.ListHistoryRequest(kind="model", name="iris"), FakeContext())
    assert [one.spec_json for one in history.documents] == ['{"n": 1}', ""]


@pytest.mark.parametrize(
    ("spec", "name", "more", "code", "message"),
    [
        ("{", "iris", {}, StatusCode.INVALID_ARGUMENT, "spec_json is no JSON"),
        ("[1]", "iris", {}, StatusCode.INVALID_ARGUMENT, "must be an object, not list"),
        ("{}", "a/b", {}, StatusCode.INVALID_ARGUMENT, "is no name of a document"),
        ("{}", "..", {}, StatusCode.INVALID_ARGUMENT, "is no name of a document"),
        ("{}", "iris", {"expected_version": 3}, StatusCode.ABORTED, "at version 0, not 3"),
    ],
)
async def test_a_wrong_document_is_refused(
    spec: str, name: str, more: dict[str, Any], code: StatusCode, message: str
) -> None:
    document, context = await put(MemoryRegistry(ManualClock()), spec, name, **more)
    assert document is None
    assert context.code is code
    assert message in context.message


async def test_a_watcher_of_documents_is_told_of_what_is_gone() -> None:
    registry = MemoryRegistry(ManualClock())
    await put(registry, '{"n": 1}')
    changes = service(registry).WatchDocuments(pb.WatchDocumentsRequest(kind="model"), FakeContext())
    first = await anext(changes)
    assert first.complete
    assert [one.name for one in first.documents] == ["iris"]
    await put(registry, "{}", "digits")
    second = await anext(changes)
    assert [(one.name, one.spec_json) for one in second.documents] == [("digits", "{}")]
    await put(registry, "", "iris")
    third = await anext(changes)
    assert [(one.name, one.spec_json) for one in third.documents] == [("iris", "")]
