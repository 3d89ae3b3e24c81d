"""Fixtures with a real Consul: `pytest_plugins = ("tests.support.consul_fixtures",)` in a module of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from inferloom.cli.consul_agent import start_dev_agent
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul, Health

ConsulFactory = Callable[[Mapping[str, object]], Awaitable[Consul]]


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
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    found = Health(server, server.add_insecure_port("127.0.0.1:0"), servicer)
    await server.start()
    await found.serving(True)
    yield found
    await server.stop(None)
