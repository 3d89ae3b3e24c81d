"""Bringing the registry to what a host wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.memory import MemoryRegistration, MemoryRegistry
from inferloom.services.host.registration import Registrations

SHOP = Replica("Shop", "h1", "127.0.0.1", 8001)


class Flaky(MemoryRegistry):
    """A registry that does not answer so many times."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures

    async def register(self, replica: Replica) -> MemoryRegistration:
        if self.failures:
            self.failures -= 1
            raise RegistryUnavailable("no answer")
        return await super().register(replica)


class Case:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = Flaky()
        self.refused: dict[str, str] = {}
        self.registrations = Registrations(self.registry, self.clock, self.refused.__setitem__)


@pytest.fixture
async def case() -> AsyncIterator[Case]:
    found = Case()
    found.registrations.start()
    yield found
    await found.registrations.close()


async def test_a_record_is_registered_updated_and_taken_out(case: Case) -> None:
    case.registrations.want("Shop", SHOP)
    assert await case.registrations.settle(1)
    case.registrations.want("Shop", replace(SHOP, state=State.DRAINING))
    assert await case.registrations.settle(1)
    assert case.registry.catalog.models["Shop"].replicas[0].state is State.DRAINING
    case.registrations.want("Shop", None)
    assert await case.registrations.settle(1)
    assert case.registry.catalog.models == {}
    assert case.registrations.wanted == {}


async def test_it_tries_again_while_the_registry_does_not_answer(case: Case) -> None:
    case.registry.failures = 2
    case.registrations.want("Shop", SHOP)
    await case.clock.advance(0.2)
    assert case.registry.catalog.models == {}
    await case.clock.advance(0.4)
    assert "Shop" in case.registry.catalog.models


async def test_of_several_changes_only_the_newest_is_written(case: Case) -> None:
    case.registry.failures = 1
    case.registrations.want("Shop", SHOP)
    await asyncio.sleep(0)
    case.registrations.want("Shop", replace(SHOP, problem="one"))
    case.registrations.want("Shop", replace(SHOP, problem="two"))
    await case.clock.advance(1.0)
    assert case.registry.catalog.models["Shop"].replicas[0].problem == "two"


async def test_a_name_that_is_refused_is_told_and_not_tried_again(case: Case) -> None:
    await case.registry.register(replace(SHOP, model="shop"))
    case.registrations.want("Shop", SHOP)
    assert await case.registrations.settle(1)
    assert "clashes with 'shop'" in case.refused["Shop"]
