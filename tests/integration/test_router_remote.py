"""RemoteRegistry: a process that follows another's catalog and documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.errors import InvalidInput, RegistryUnavailable, Unauthenticated
from inferloom.mesh.listen import Address
from inferloom.mesh.registry.base import Documents
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.router.server import ServerSettings
from inferloom.sidecar.ports import free_ports
from tests.support.caller import echo_request, read, stub
from tests.support.documents_contract import DocumentsContract, first
from tests.support.router import LOOPBACK, Mesh, Server, running_mesh


def replica(model: str, name: str = "a", port: int = 1) -> Replica:
    return Replica(model, name, "127.0.0.1", port, versions=("1",))


class Source:
    """The other side, on a port of its own, that can stop and start again; its memory starts empty each time."""

    def __init__(self) -> None:
        self.address = Address("127.0.0.1", free_ports(1)[0])
        self.registry = MemoryRegistry()
        self._stack = AsyncExitStack()

    async def start(self) -> Mesh:
        self.registry = MemoryRegistry()
        settings = ServerSettings(address=self.address, write_token="t")
        return await self._stack.enter_async_context(running_mesh(registry=self.registry, server=settings))

    async def stop(self) -> None:
        await self._stack.aclose()


@pytest.fixture
async def source() -> AsyncIterator[Source]:
    source = Source()
    await source.start()
    yield source
    await source.stop()


@pytest.fixture
async def remotes(source: Source) -> AsyncIterator[Callable[..., RemoteRegistry]]:
    made: list[RemoteRegistry] = []

    def make(token: str = "t") -> RemoteRegistry:
        made.append(RemoteRegistry(str(source.address), token=token))
        return made[-1]

    yield make
    for remote in made:
        await remote.close()


async def until(condition: Callable[[], bool], timeout: float = 6.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


Make = Callable[..., RemoteRegistry]


class TestRemoteDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self, remotes: Make) -> Documents:
        return remotes().documents

    @pytest.fixture
    def others(self, remotes: Make) -> Documents:
        return remotes().documents


async def test_it_follows_the_catalog_and_unchanged_models_are_the_same_objects(source: Source, remotes: Make) -> None:
    iris = await source.registry.register(replica("iris"))
    rose = await source.registry.register(replica("rose"))
    remote = remotes()
    await remote.start()
    assert dict(remote.catalog.models) == dict(source.registry.catalog.models)
    assert remote.catalog.fresh
    assert remote.age == 0
    before = remote.catalog
    await iris.update(Replica("iris", "a", "127.0.0.1", 1, State.DRAINING))
    await until(lambda: remote.catalog.models["iris"].replicas[0].state is State.DRAINING)
    assert remote.catalog.models["rose"] is before.models["rose"]
    await rose.deregister()
    await until(lambda: list(remote.catalog.models) == ["iris"])


async def test_the_other_sides_restart_is_survived(source: Source, remotes: Make) -> None:
    await source.registry.register(replica("iris"))
    remote = remotes()
    await remote.start()
    mine = await remote.register(replica("mine", port=7))
    await until(lambda: "mine" in remote.catalog.models)
    await source.stop()
    await until(lambda: not remote.catalog.fresh)
    assert list(remote.catalog.models) == ["iris", "mine"], "the last good snapshot keeps serving"
    await asyncio.sleep(0.1)
    assert remote.age > 0.05
    await mine.update(replica("mine", port=8))
    await source.start()
    await source.registry.register(replica("new"))
    await until(lambda: remote.catalog.fresh and "new" in remote.catalog.models)
    await until(lambda: "mine" in source.registry.catalog.models)
    assert source.registry.catalog.models["mine"].replicas[0].port == 8
    await until(lambda: list(remote.catalog.models) == ["mine", "new"])
    await mine.deregister()
    await until(lambda: "mine" not in source.registry.catalog.models, 1.0)


async def test_documents_are_watched_across_a_restart(source: Source, remotes: Make) -> None:
    remote = remotes()
    await remote.documents.put("policy", "one", {"n": 1})
    watch = remote.documents.watch()
    assert len(await first(watch)) == 1
    await source.stop()
    with pytest.raises(RegistryUnavailable, match=f"no mesh answers at {source.address}"):
        await remote.documents.put("policy", "two", {"n": 1})
    await source.start()
    await source.registry.documents.put("policy", "three", {"n": 3})
    async with asyncio.timeout(8):
        async for documents in watch:
            if set(documents) == {("policy", "three")}:
                break


async def test_a_record_is_updated_and_taken_out(source: Source, remotes: Make) -> None:
    remote = remotes()
    await remote.start()
    mine = await remote.register(replica("mine"))
    assert source.registry.catalog.models["mine"].replicas == (replica("mine"),)
    await mine.update(Replica("mine", "a", "127.0.0.1", 1, State.DRAINING))
    await until(lambda: source.registry.catalog.models["mine"].replicas[0].state is State.DRAINING, 1.0)
    await mine.deregister()
    assert not source.registry.catalog.models, "once the goodbye has been taken"
    await mine.deregister()


async def test_whoever_closes_says_goodbye_for_all_it_registered(source: Source, remotes: Make) -> None:
    remote = remotes()
    await remote.start()
    for name in ("one", "two"):
        await remote.register(replica(name))
    await remote.close()
    assert not source.registry.catalog.models


async def test_a_change_that_is_under_way_does_not_come_in_the_way_of_the_goodbye(
    source: Source, remotes: Make
) -> None:
    mine = await remotes().register(replica("mine"))
    for port in range(2, 6):
        await mine.update(replica("mine", port=port))
        await asyncio.sleep(0)
    await mine.deregister()
    assert not source.registry.catalog.models


async def test_a_goodbye_to_nobody_takes_no_time(source: Source, remotes: Make) -> None:
    mine = await remotes().register(replica("mine"))
    await source.stop()
    await until(lambda: bool(mine._call.done()))
    began = time.monotonic()
    await mine.deregister()
    assert time.monotonic() - began < 0.5


async def test_a_registration_whose_connection_broke_is_lost_and_back_by_itself(source: Source, remotes: Make) -> None:
    seen: list[tuple[bool, str]] = []

    async def follow() -> None:
        async for catalog in source.registry.watch():
            seen.extend((one.usable, one.problem) for one in catalog.replicas())

    following = asyncio.create_task(follow())
    mine = await remotes().register(replica("mine"))
    await until(lambda: bool(seen))
    mine._call.cancel()
    await until(lambda: len(seen) == 3)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert seen == [(True, ""), (False, "its process has gone"), (True, "")]
    await mine.deregister()
    assert not source.registry.catalog.models


async def test_nobody_there_is_said_within_its_patience() -> None:
    remote = RemoteRegistry(f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(RegistryUnavailable, match="start one with `inferloom up`"):
        await remote.start()


async def test_what_cannot_be_registered_is_refused_as_it_is_there(source: Source, remotes: Make) -> None:
    with pytest.raises(InvalidInput, match="'a b' is no model name"):
        await remotes().register(replica("a b"))
    await source.registry.register(replica("Iris"))
    with pytest.raises(InvalidInput, match="'iris' clashes with 'Iris'"):
        await remotes().register(replica("iris"))
    with pytest.raises(Unauthenticated):
        await remotes("wrong").register(replica("rose"))
    assert list(source.registry.catalog.models) == ["Iris"]


async def test_a_router_on_a_remote_registry_serves_on_while_the_other_side_is_gone(
    source: Source, remotes: Make, pair: tuple[Server, Server]
) -> None:
    await source.registry.register(replica("echo", port=pair[0].port))
    async with (
        running_mesh(registry=remotes(), server=ServerSettings(address=LOOPBACK)) as mesh,
        stub(mesh.address) as face,
    ):
        assert read(await face.ModelInfer(echo_request())) == [1, 2]
        await source.stop()
        await until(lambda: not mesh.registry.catalog.fresh)
        assert read(await face.ModelInfer(echo_request())) == [1, 2]
        assert mesh.metric("inferloom_catalog_age_seconds") > 0
