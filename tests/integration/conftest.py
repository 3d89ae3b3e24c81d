"""Every integration test is checked for what it leaves behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from tests.support.leaks import leaked, snapshot
from tests.support.router import Server, running_servers


@pytest.fixture(autouse=True)
async def nothing_is_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Tasks, descriptors, child processes and shared memory: the test ends with those it began with."""
    async with grpc.aio.insecure_channel("127.0.0.1:1"):
        pass  # gRPC's own pollers are there before we look
    before = snapshot()
    yield
    if found := await leaked(before):
        pytest.fail(f"the test left behind:\n{found}", pytrace=False)


@pytest.fixture(scope="session")
def tritons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two Tritons with every model of tests/data/repository, for tests that do not hurt them."""
    models = ("echo", "versioned", "slow", "tokens", "sequence")
    forwarding = ("--grpc-header-forward-pattern=^[^u]",)  # all but user-agent
    with running_servers(tmp_path_factory.mktemp("pair"), 2, models, forwarding) as (one, two):
        yield one, two


@pytest.fixture
def pair(tritons: tuple[Server, Server]) -> tuple[Server, Server]:
    """The two Tritons, both running: where one has crashed, the test that saw it fails and the next has a new one."""
    for server in tritons:
        if not server.running:
            server.heal()
    return tritons
