"""MeshService: the catalog, its changes, and who registers over it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.server import ServerSettings
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc
from tests.support.caller import echo_request, slow_request, stub
from tests.support.load import outcome_of
from tests.support.router import LOOPBACK, Mesh, Server, running_mesh

TOKEN = (("authorization", "Bearer t"),)


def replica(model: str, name: str = "a", **fields: Any) -> Replica:
    return Replica(model, name, "127.0.0.1", 1, **({"versions": ("1",)} | fields))


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_mesh(server=ServerSettings(address=LOOPBACK, write_token="t")) as mesh:
        yield mesh


@pytest.fixture
async def service(mesh: Mesh) -> AsyncIterator[Any]:
    async with stub(mesh.address) as face:
        yield mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]


async def test_a_watcher_gets_everything_once_and_then_only_what_changed(mesh: Mesh, service: Any) -> None:
    registry = mesh.registry
    assert isinstance(registry, MemoryRegistry)
    iris = await registry.register(replica("iris"))
    await registry.register(replica("rose"))
    watching = service.WatchModels(pb.WatchModelsRequest())
    first = await watching.read()
    assert first.complete
    assert first.fresh
    assert [model.name for model in first.models] == ["iris", "rose"]
    await iris.update(replica("iris", state=State.DRAINING))
    change = await watching.read()
    assert not change.complete
    assert [(model.name, model.replicas[0].state) for model in change.models] == [("iris", pb.REPLICA_STATE_DRAINING)]
    assert change.index > first.index
    await registry.register(replica("iris", "b"))
    change = await watching.read()
    assert [[each.id for each in model.replicas] for model in change.models] == [["a", "b"]]
    await iris.deregister()
    await watching.read()
    rose = next(each for each in registry.catalog.models["rose"].replicas)
    await (await registry.register(rose)).deregister()
    change = await watching.read()
    assert (list(change.models), list(change.removed)) == ([], ["rose"])
    watching.cancel()


async def test_the_load_that_the_router_sees_is_listed_on_request(pair: tuple[Server, Server]) -> None:
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face:
        service = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
        calls = asyncio.gather(*(face.ModelInfer(slow_request(0.2, n)) for n in range(3)))
        await asyncio.sleep(0.1)
        listed = await service.ListModels(pb.ListModelsRequest(with_load=True))
        load = {model.name: model.replicas[0].load for model in listed.models}["slow"]
        assert (load.breaker, load.why, load.in_flight) == ("closed", "", 3)
        await calls
        listed = await service.ListModels(pb.ListModelsRequest(with_load=True))
        load = {model.name: model.replicas[0].load for model in listed.models}["slow"]
        assert (load.in_flight, load.requests, load.failures) == (0, 3, 0)
        assert load.latency_ms > 100
        plain = await service.ListModels(pb.ListModelsRequest())
        assert not any(model.replicas[0].HasField("load") for model in plain.models)


async def test_what_is_registered_lives_as_long_as_its_stream_and_is_shown_as_lost_after_it(
    mesh: Mesh, service: Any
) -> None:
    call = service.Register(metadata=TOKEN)
    message = pb.Replica(
        model="iris", id="a", host="127.0.0.1", port=1, state=pb.REPLICA_STATE_SERVING, healthy=True, weight=1
    )
    await call.write(pb.RegisterRequest(replica=message))
    assert (await call.read()).id == "a"
    assert mesh.registry.catalog.models["iris"].ready
    message.state = pb.REPLICA_STATE_DRAINING
    await call.write(pb.RegisterRequest(replica=message))
    await call.read()
    assert mesh.registry.catalog.models["iris"].replicas[0].state is State.DRAINING
    call.cancel()  # it said that it drains: nobody waits for it
    async with asyncio.timeout(2):
        while mesh.registry.catalog.models:
            await asyncio.sleep(0.01)
    message.state = pb.REPLICA_STATE_SERVING
    call = service.Register(metadata=TOKEN)
    await call.write(pb.RegisterRequest(replica=message))
    await call.read()
    call.cancel()
    async with asyncio.timeout(2):
        while any(each.usable for each in mesh.registry.catalog.replicas()):
            await asyncio.sleep(0.01)
    async with stub(mesh.address) as face:
        code, words = await outcome_of(face.ModelInfer(echo_request(model="iris"), timeout=5))
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "no replica of 'iris' can be used; 1 registered: a starting (its process has gone)" in words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "a b"}, "'a b' is no model name"),
        ({"id": ""}, "id"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"weight": -1.0}, "weight"),
        ({"weight": float("nan")}, "weight"),
    ],
)
async def test_a_record_that_would_harm_the_others_is_refused(
    mesh: Mesh, service: Any, fields: Any, words: str
) -> None:
    good = {"model": "iris", "id": "a", "host": "127.0.0.1", "port": 1, "weight": 1.0, "healthy": True}
    call = service.Register(iter([pb.RegisterRequest(replica=pb.Replica(**{**good, **fields}))]), metadata=TOKEN)
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not mesh.registry.catalog.models


async def test_a_record_without_a_weight_has_a_weight_of_one(pair: tuple[Server, Server]) -> None:
    settings = ServerSettings(address=LOOPBACK, write_token="t")
    async with running_mesh({"one": pair[0]}, server=settings) as mesh, stub(mesh.address) as face:
        call = mesh_pb2_grpc.MeshServiceStub(face.channel).Register(metadata=TOKEN)  # type: ignore[no-untyped-call]
        bare = pb.Replica(
            model="slow", id="two", host="127.0.0.1", port=pair[1].port, state=pb.REPLICA_STATE_SERVING, healthy=True
        )
        await call.write(pb.RegisterRequest(replica=bare))
        await call.read()
        assert mesh.registry.catalog.models["slow"].replicas[1].weight == 1.0
        await asyncio.gather(*(face.ModelInfer(slow_request(0.02, n), timeout=5) for n in range(8)))
        call.cancel()


async def test_documents_that_are_none_are_refused(service: Any) -> None:
    for request, words in (
        (pb.PutDocumentRequest(kind="model", name="a", spec_json="{"), "spec_json is no JSON"),
        (pb.PutDocumentRequest(kind="model", name="a", spec_json="[1]"), "must be an object, not list"),
        (pb.PutDocumentRequest(kind="model", name="a/b", spec_json="{}"), "'a/b' is no name of a document"),
        (pb.PutDocumentRequest(kind="", name="a", spec_json="{}"), "'' is no kind of document"),
    ):
        code, message = await outcome_of(service.PutDocument(request, metadata=TOKEN))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert words in message


async def test_a_router_with_watchers_stops_once_its_calls_are_done(pair: tuple[Server, Server]) -> None:
    """Watches and idle streams never end by themselves: a drain that waited for them would take all of its time."""
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face, stub(mesh.address) as other:
        watching = mesh_pb2_grpc.MeshServiceStub(other.channel).WatchModels(pb.WatchModelsRequest())  # type: ignore[no-untyped-call]
        await watching.read()
        slow = asyncio.ensure_future(outcome_of(face.ModelInfer(slow_request(0.5, 1), timeout=5)))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        draining = asyncio.create_task(mesh.server.drain(10.0))
        await asyncio.sleep(0.1)
        code, _ = await outcome_of(other.ModelInfer(slow_request(0.0, 2), timeout=2))
        assert code is grpc.StatusCode.UNAVAILABLE, "it takes no new calls"
        assert (await slow)[0] is grpc.StatusCode.OK, "what was under way is answered"
        await draining
        assert 0.3 < time.monotonic() - began < 2.0
