from __future__ import annotations

from dataclasses import replace

import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.memory import MemoryRegistry

A = Replica("iris", "a", "h", 1)


async def test_a_registered_replica_is_in_the_catalog_until_it_is_deregistered() -> None:
    registry = MemoryRegistry()
    await registry.start()
    assert registry.age == 0.0
    registration = await registry.register(A)
    assert registry.catalog.models["iris"].replicas == (A,)
    await registration.deregister()
    await registration.deregister()
    assert not registry.catalog.models
    await registry.close()


async def test_an_update_keeps_model_and_id() -> None:
    registry = MemoryRegistry()
    registration = await registry.register(A)
    await registration.update(Replica("other", "b", "h", 2, State.DRAINING))
    assert registration.replica == replace(A, port=2, state=State.DRAINING)
    assert list(registry.catalog.replicas()) == [registration.replica]


async def test_names_that_differ_only_in_case_clash() -> None:
    registry = MemoryRegistry()
    await registry.register(A)
    await registry.register(replace(A, id="b"))
    with pytest.raises(InvalidInput, match="'Iris' clashes with 'iris'"):
        await registry.register(replace(A, model="Iris"))


async def test_a_watcher_sees_the_present_and_then_each_newer_catalog() -> None:
    registry = MemoryRegistry()
    watch = registry.watch()
    assert not (await anext(watch)).models
    await registry.register(A)
    await registry.register(replace(A, model="other"))
    newest = await anext(watch)
    assert set(newest.models) == {"iris", "other"}
    assert newest is registry.catalog
