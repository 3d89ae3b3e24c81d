"""The client against the real router in front of a real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.listen import Address
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.sdk import (
    DeadlineExceeded,
    InvalidInput,
    MeshClient,
    ModelNotFound,
    NoReplica,
    ReplicaError,
    SyncMeshClient,
    Unauthenticated,
)
from tests.support.client_models import write_models
from tests.support.triton import Triton, running_triton

TOKEN = "a token"


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("router")
    write_models(folder / "models")
    with running_triton(folder / "models", folder / "triton.log") as server:
        yield server


@pytest.fixture
async def router(triton: Triton) -> AsyncIterator[str]:
    """The address of a router that knows Triton's models, and one model whose only replica is draining."""
    registry = MemoryRegistry()
    host, _, port = triton.grpc.partition(":")
    for model in ("double", "identity", "raises", "repeat", "sleep"):
        await registry.register(Replica(model, "r1", host, int(port), versions=("1",)))
    await registry.register(Replica("leaving", "r1", host, int(port), State.DRAINING, ("1",)))
    router = Router(registry)
    await router.start()
    server = RouterServer(router, ServerSettings(address=Address("127.0.0.1", 0), token=TOKEN))
    try:
        yield str(await server.start())
    finally:
        await server.drain(1.0)
        await router.close()


@pytest.fixture
async def mesh(router: str) -> AsyncIterator[MeshClient]:
    async with MeshClient(router, token=TOKEN) as client:
        yield client


async def test_models_are_listed_with_their_replicas(mesh: MeshClient) -> None:
    models = {model.name: model for model in await mesh.models()}
    assert list(models) == ["double", "identity", "leaving", "raises", "repeat", "sleep"]
    assert (models["double"].ready, models["double"].versions, models["double"].replicas) == (True, ("1",), 1)
    assert not models["leaving"].ready


async def test_a_call_goes_through(mesh: MeshClient) -> None:
    out = await mesh.infer(
        "double", np.ones(4, np.float32), metadata={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    )
    assert out.y.tolist() == [[2, 2, 2, 2]]
    assert [int(out.turn[0]) async for out in mesh.stream("repeat", {"times": [3]})] == [0, 1, 2]


async def test_errors_arrive_typed_with_the_routers_words(mesh: MeshClient) -> None:
    with pytest.raises(ModelNotFound, match="model 'doubel' not found; did you mean double") as missing:
        await mesh.infer("doubel", [1])
    assert missing.value.near[0] == "double"
    with pytest.raises(NoReplica, match="leaving"):
        await mesh.infer("leaving", [1])
    with pytest.raises(InvalidInput, match="did you mean 'x'"):
        await mesh.infer("double", {"X1": [1]})
    with pytest.raises(ReplicaError, match="the moon is full"):
        await mesh.infer("raises", [1.0])
    with pytest.raises(DeadlineExceeded):  # in the router's words or ours, whoever is first
        await mesh.infer("sleep", [5.0], timeout=0.3)


async def test_a_model_without_a_replica_and_one_that_is_not_there_are_not_ready(mesh: MeshClient) -> None:
    assert await mesh.ready("double")
    assert not await mesh.ready("leaving")
    assert not await mesh.ready("doubel")


async def test_an_error_of_one_message_of_a_stream_is_its_own(mesh: MeshClient) -> None:
    stream = mesh.stream("repeat", [{"times": [1]}, {"times": [-1]}, {"times": [1]}], on_error="yield")
    found = {out.id: out async for out in stream}
    assert [found[key].error is None for key in ("0", "1", "2")] == [True, False, True]
    with pytest.raises((ReplicaError, ModelNotFound), match="doubel"):
        await anext(mesh.stream("doubel", {"x": [1]}))


async def test_a_wrong_token_is_unauthenticated(router: str) -> None:
    async with MeshClient(router, token="another") as mesh:
        with pytest.raises(Unauthenticated):
            await mesh.infer("double", [1, 2, 3, 4])


async def test_the_synchronous_client_does_the_same(router: str) -> None:
    def call() -> object:
        with SyncMeshClient(router, token=TOKEN) as mesh:
            return mesh.infer("double", [1, 2, 3, 4]).y.tolist()

    assert await asyncio.to_thread(call) == [[2, 4, 6, 8]]
