"""Who is listened to when: two registries in memory, one plays the control process, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from inferloom.mesh.catalog import EMPTY, Catalog, Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.memory import MemoryDocuments, MemoryRegistry
from inferloom.mesh.registry.shared_watch import PATIENCE, SharedWatch

IRIS = Replica("iris", "a", "127.0.0.1", 1, versions=("1",))
ROSE = Replica("rose", "a", "127.0.0.1", 2, versions=("1",))


class Side(MemoryRegistry):
    """A registry that counts who follows it, and can be away."""

    def __init__(self, *replicas: Replica) -> None:
        super().__init__()
        self.here = True
        self.open = 0
        self.latest: Latest[Catalog] = Latest(EMPTY)
        self.say(*replicas)

    def say(self, *replicas: Replica, fresh: bool = True) -> None:
        self.latest.set(Catalog.build(replicas, self.latest.value, fresh=fresh))

    def away(self) -> None:
        """It goes on answering with what it had."""
        self.here = False
        self.latest.set(replace(self.latest.value, fresh=False))

    def watch(self) -> AsyncIterator[Catalog]:
        return self.latest.watch()

    async def start(self) -> None:
        if not self.here:
            raise RegistryUnavailable("away")
        self.open += 1

    async def close(self) -> None:
        self.open -= 1


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.own, self.control, self.consul = MemoryRegistry(), Side(IRIS), Side(IRIS)
        self.registry = SharedWatch(self.own, lambda: self.control, lambda: self.consul, clock=self.clock)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.registry.close()


def names(world: World) -> list[str]:
    return list(world.registry.catalog.models)


async def test_while_the_control_process_answers_nobody_else_is_asked(world: World) -> None:
    await world.registry.start()
    await world.clock.advance(60)
    world.control.say(IRIS, ROSE)
    await world.clock.advance(0)
    assert names(world) == ["iris", "rose"]
    assert (world.registry.shared, world.consul.open) == (True, 0)


async def test_when_it_has_gone_the_registry_is_watched_within_its_patience(world: World) -> None:
    await world.registry.start()
    world.control.away()
    await world.clock.advance(PATIENCE - 0.1)
    assert world.consul.open == 0
    assert names(world) == ["iris"], "the last good catalog serves"
    await world.clock.advance(0.2)
    world.consul.say(IRIS, ROSE)
    await world.clock.advance(0)
    assert names(world) == ["iris", "rose"]
    assert world.registry.catalog.fresh


async def test_when_it_is_back_the_registry_is_no_longer_watched(world: World) -> None:
    await world.registry.start()
    world.control.away()
    await world.clock.advance(PATIENCE + 1)
    world.control.here = True
    world.control.say(IRIS, ROSE)
    await world.clock.advance(0)
    assert names(world) == ["iris", "rose"]
    assert world.consul.open == 0
    world.consul.say(IRIS)
    await world.clock.advance(0)
    assert names(world) == ["iris", "rose"]


async def test_a_short_absence_changes_nothing(world: World) -> None:
    await world.registry.start()
    world.control.away()
    await world.clock.advance(PATIENCE / 2)
    world.control.say(IRIS)
    await world.clock.advance(60)
    assert world.consul.open == 0


async def test_without_a_control_process_it_starts_by_itself(world: World) -> None:
    world.control.here = False
    starting = asyncio.create_task(world.registry.start())
    await world.clock.advance(PATIENCE + 0.1)
    await starting
    assert names(world) == ["iris"]
    assert world.consul.open == 1


async def test_where_neither_answers_the_start_fails_with_the_registrys_reason(world: World) -> None:
    world.control.here = world.consul.here = False
    starting = asyncio.create_task(world.registry.start())
    await world.clock.advance(PATIENCE + 0.1)
    with pytest.raises(RegistryUnavailable, match="away"):
        await starting


async def test_unchanged_models_are_the_same_objects_whoever_tells_of_them(world: World) -> None:
    await world.registry.start()
    before = world.registry.catalog.models["iris"]
    world.control.away()
    await world.clock.advance(PATIENCE + 0.1)
    assert world.registry.catalog.models["iris"] is before


async def test_an_empty_catalog_is_an_answer(world: World) -> None:
    world.control.say()
    await world.registry.start()
    assert names(world) == []
    assert world.registry.catalog.fresh


async def test_what_is_written_goes_to_the_registry_itself(world: World) -> None:
    await world.registry.start()
    await world.registry.register(ROSE)
    await world.registry.documents.put("split", "iris", {"n": 1})
    assert list(world.own.catalog.models) == ["rose"]
    assert (await world.own.documents.get("split", "iris")) is not None


async def test_documents_come_from_whoever_is_listened_to_and_stay_the_same_objects(world: World) -> None:
    both: list[MemoryDocuments] = [world.control.documents, world.consul.documents]
    for documents in both:
        await documents.put("split", "iris", {"n": 1})
    same = world.control.documents._latest.value["split", "iris"]
    world.consul.documents._latest.set({("split", "iris"): replace(same)})
    await world.registry.start()
    watch = world.registry.documents.watch("split")
    first = await anext(watch)
    world.control.away()
    await world.clock.advance(PATIENCE + 0.1)
    await world.consul.documents.put("split", "rose", {"n": 2})
    second = await anext(watch)
    assert set(second) == {("split", "iris"), ("split", "rose")}
    assert second["split", "iris"] is first["split", "iris"]
    await watch.aclose()  # type: ignore[attr-defined]
