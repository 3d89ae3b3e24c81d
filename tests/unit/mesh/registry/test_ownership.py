"""Two registrations of one replica: of the process that was there, and of the one started in its place."""

from __future__ import annotations

from dataclasses import replace

from inferloom.mesh.catalog import Replica
from inferloom.mesh.registry.memory import MemoryRegistry

A = Replica("iris", "a", "h", 1, generation=1)


async def test_a_late_deregistration_leaves_the_newer_registration_alone() -> None:
    registry = MemoryRegistry()
    old = await registry.register(A)
    new = await registry.register(replace(A, generation=2))
    await old.deregister()
    assert [replica.generation for replica in registry.catalog.replicas()] == [2]
    await new.deregister()
    assert not registry.catalog.models


async def test_it_is_its_own_however_equal_the_records_are() -> None:
    registry = MemoryRegistry()
    old = await registry.register(A)
    new = await registry.register(replace(A))
    await old.deregister()
    assert registry.catalog.models
    await new.update(replace(A, weight=2.0))
    await new.deregister()
    assert not registry.catalog.models
