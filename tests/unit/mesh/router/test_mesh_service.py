"""MeshService without a network: its methods are called as grpc would call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.messages import replica_to
from inferloom.mesh.registry.tenants import KEPT
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


def states(registry: MemoryRegistry) -> list[tuple[str, State, str]]:
    return [(one.id, one.state, one.problem) for one in registry.catalog.replicas()]


async def ended(requests: Requests, stream: AsyncIterator[pb.RegisterResponse]) -> None:
    """The caller's process has ended."""
    requests.end()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def registered(answers: MeshService, *keys: str, **changes: Any) -> tuple[Requests, Any]:
    """A process that has registered these replicas."""
    requests = Requests()
    stream = answers.Register(requests, FakeContext(metadata=TOKEN))
    for key in keys:
        requests.put(key, **changes)
        assert (await anext(stream)).id == key
    return requests, stream


async def test_a_registration_lasts_until_its_goodbye_and_is_lost_where_its_stream_ends_without() -> None:
    registry, clock = MemoryRegistry(ManualClock()), ManualClock()
    requests, stream = await registered(MeshService(registry, clock, write_token="secret"), "a", "b")
    requests.put("a", weight=2.0)
    await anext(stream)
    assert [one.weight for one in registry.catalog.replicas()] == [2.0, 1.0]
    requests.put("b", deregister=True)
    await anext(stream)
    assert [one.id for one in registry.catalog.replicas()] == ["a"]
    await ended(requests, stream)
    assert states(registry) == [("a", State.STARTING, "its process has gone")]
    await clock.advance(KEPT - 1)
    assert states(registry)
    await clock.advance(1)
    assert not registry.catalog.models


async def test_what_was_draining_goes_with_its_stream() -> None:
    registry = MemoryRegistry(ManualClock())
    await ended(*await registered(service(registry), "a", state=State.DRAINING))
    assert not registry.catalog.models


async def test_a_stream_that_is_refused_is_not_lost() -> None:
    registry = MemoryRegistry(ManualClock())
    requests, stream = await registered(service(registry), "a")
    requests.put("a", weight=-1.0)
    with pytest.raises(Aborted):
        await anext(stream)
    assert not registry.catalog.models


async def test_one_that_is_started_again_has_its_place_at_once_and_for_good() -> None:
    registry, clock = MemoryRegistry(ManualClock()), ManualClock()
    answers = MeshService(registry, clock, write_token="secret")
    await ended(*await registered(answers, "a", generation=1))
    requests, stream = await registered(answers, "a", generation=2)
    assert [(one.generation, one.usable) for one in registry.catalog.replicas()] == [(2, True)]
    await clock.advance(2 * KEPT)
    assert [one.generation for one in registry.catalog.replicas()] == [2]
    requests.put("a", deregister=True)
    await anext(stream)
    assert not registry.catalog.models


async def test_the_lost_of_a_machine_are_forgotten_once_another_serves_there() -> None:
    registry = MemoryRegistry(ManualClock())
    answers = service(registry)
    await ended(*await registered(answers, "a", "b"))
    await ended(*await registered(answers, "far", host="10.0.0.9"))
    requests, stream = await registered(answers, "c", state=State.STARTING)
    assert [key for key, _, _ in states(registry)] == ["a", "b", "c", "far"]
    requests.put("c")
    await anext(stream)
    assert [key for key, _, _ in states(registry)] == ["c", "far"]


async def test_one_that_is_there_all_the_while_does_not_make_the_lost_forgotten() -> None:
    registry = MemoryRegistry(ManualClock())
    answers = service(registry)
    requests, stream = await registered(answers, "a")
    await ended(*await registered(answers, "b"))
    requests.put("a", weight=2.0)
    await anext(stream)
    assert [key for key, _, _ in states(registry)] == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "name", "left"),
    [
        ("service", "iris", ["irises"]),
        ("pipeline", "iris", ["irises"]),
        ("split", "iris", ["iris", "iris.tell", "irises"]),
        ("service", "iri", ["iris", "iris.tell", "irises"]),
    ],
)
async def test_what_is_removed_is_not_kept_as_lost(kind: str, name: str, left: list[str]) -> None:
    registry = MemoryRegistry(ManualClock())
    answers = service(registry)
    for model in ("iris", "iris.tell", "irises"):
        await ended(*await registered(answers, "a", model=model))
    context = FakeContext(metadata=TOKEN)
    await answers.PutDocument(pb.PutDocumentRequest(kind=kind, name=name, spec_json="{}"), context)
    assert len(registry.catalog.models) == 3
    await answers.PutDocument(pb.PutDocumentRequest(kind=kind, name=name), context)
    assert sorted(registry.catalog.models) == left


async def test_a_server_that_closes_loses_nobody() -> None:
    registry = MemoryRegistry(ManualClock())
    answers = service(registry)
    await ended(*await registered(answers, "a"))
    stays = await registered(answers, "b")
    await answers.close()
    assert states(registry) == [("b", State.SERVING, "")]
    await ended(*stays)
    assert not registry.catalog.models


async def test_the_end_of_an_old_stream_does_not_touch_what_a_new_one_registered() -> None:
    registry = MemoryRegistry(ManualClock())
    answers = service(registry)
    before = await registered(answers, "a", generation=1)
    await registered(answers, "a", generation=2)  # before anybody noticed that the first one was gone
    await ended(*before)
    assert [(one.generation, one.usable) for one in registry.catalog.replicas()] == [(2, True)]


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
