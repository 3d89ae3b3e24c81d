"""The registry gets what is wanted, in order, also when it was away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.memory import MemoryRegistration, MemoryRegistry
from inferloom.sidecar.registrar import Registrar

RECORD = Replica("m", "a", "127.0.0.1", 1)


class Flaky(MemoryRegistry):
    """A registry that can be away."""

    away = False

    async def register(self, replica: Replica) -> MemoryRegistration:
        if self.away:
            raise RegistryUnavailable("no answer")
        return await super().register(replica)


class Registering:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Flaky(self.clock)
        self.refused: list[tuple[str, str]] = []
        self.registrar = Registrar(
            self.registry, self.clock, random.Random(1), lambda model, why: self.refused.append((model, why))
        )


@asynccontextmanager
async def registering() -> AsyncIterator[Registering]:
    it = Registering()
    task = asyncio.create_task(it.registrar.run())
    try:
        yield it
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_records_are_registered_updated_and_taken_out() -> None:
    async with registering() as it:
        it.registrar.want("m", RECORD)
        assert await it.registrar.settle(1)
        assert list(it.registry.catalog.replicas()) == [RECORD]
        draining = replace(RECORD, state=State.DRAINING)
        it.registrar.want("m", draining)
        assert await it.registrar.settle(1)
        assert list(it.registry.catalog.replicas()) == [draining]
        it.registrar.want("m", None)
        assert await it.registrar.settle(1)
        assert list(it.registry.catalog.replicas()) == []


async def test_of_several_changes_the_newest_is_written() -> None:
    async with registering() as it:
        it.registrar.want("m", RECORD)
        it.registrar.want("m", replace(RECORD, port=2))
        assert await it.registrar.settle(1)
        assert it.registry.catalog.index == 1
        assert next(iter(it.registry.catalog.replicas())).port == 2


async def test_an_outage_is_waited_out_and_the_newest_record_wins() -> None:
    async with registering() as it:
        it.registry.away = True
        it.registrar.want("m", RECORD)
        await it.clock.advance(3.0)
        it.registrar.want("m", replace(RECORD, port=2))
        await it.clock.advance(3.0)
        assert not await it.registrar.settle(0.001)
        it.registry.away = False
        await it.clock.advance(6.0)
        assert await it.registrar.settle(1)
        assert next(iter(it.registry.catalog.replicas())).port == 2


async def test_a_clash_of_names_is_told_and_harms_no_other() -> None:
    async with registering() as it:
        it.registrar.want("m", RECORD)
        it.registrar.want("M", replace(RECORD, model="M"))
        it.registrar.want("n", replace(RECORD, model="n"))
        assert await it.registrar.settle(1)
        assert set(it.registry.catalog.models) == {"m", "n"}
        ((model, why),) = it.refused
        assert model == "M"
        assert "differ only in case" in why
