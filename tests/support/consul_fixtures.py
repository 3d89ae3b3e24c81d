"""Fixtures with a real Consul: `pytest_plugins = ("tests.support.consul_fixtures",)` in a module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from inferloom.cli.consul_agent import start_dev_agent
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul, ConsulFactory, Health


@pytest.fixture
async def consul_with() -> AsyncIterator[ConsulFactory]:
    """Starts agents with further settings; they end with the test."""
    started: list[Consul] = []

    async def start(settings: Mapping[str, object]) -> Consul:
        started.append(Consul(await start_dev_agent(settings=settings)))
        return started[-1]

    yield start
    for consul in started:
        consul.cont()
        await consul.agent.stop()


@pytest.fixture
async def consul(consul_with: ConsulFactory) -> Consul:
    return await consul_with({})


@pytest.fixture
async def registries(consul: Consul, tmp_path: Path) -> AsyncIterator[Callable[..., ConsulRegistry]]:
    """Makes registries on the test's Consul, without a snapshot unless told; they are closed with the test."""
    made: list[ConsulRegistry] = []

    def make(**options: Any) -> ConsulRegistry:
        made.append(ConsulRegistry(options.pop("address", consul.address), **({"snapshot": None} | options)))
        return made[-1]

    yield make
    for registry in made:
        await registry.close()


@pytest.fixture
async def sidecar_health() -> AsyncIterator[Health]:
    found = Health()
    await found.server.start()
    yield found
    await found.server.stop(None)
