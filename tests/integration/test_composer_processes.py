"""Steps with `cpus` in processes of their own."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from multiprocessing import forkserver, resource_tracker

import pytest
from grpc import StatusCode

from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import DeadlineExceeded, ReplicaError
from inferloom.sdk import step
from inferloom.services.composer.pool import Pools


@step(cpus=1)
def sleeps(seconds: float) -> int:
    """Answers with its process's id."""
    time.sleep(seconds)
    return os.getpid()


@step(cpus=1)
def dies(seconds: float) -> int:
    os._exit(3)


@pytest.fixture(scope="module", autouse=True)
def servers_of_multiprocessing() -> None:
    """Python's own helpers, which live as long as this process."""
    resource_tracker.ensure_running()
    forkserver.ensure_running()


@pytest.fixture
async def pools() -> AsyncIterator[Pools]:
    found = Pools(SYSTEM)
    yield found
    found.close()


async def ask(pools: Pools, function: object, work: float = 0.0, seconds: float = 30.0) -> int:
    declared = getattr(function, "declaration")  # noqa: B009
    answer: int = await pools.of(declared).run(declared.reference, {"seconds": work}, SYSTEM.now() + seconds)
    return answer


async def test_it_runs_in_a_process_that_stays(pools: Pools) -> None:
    assert await ask(pools, sleeps) == await ask(pools, sleeps) != os.getpid()


async def test_a_process_that_does_not_stop_at_the_deadline_is_ended_and_replaced(pools: Pools) -> None:
    before = await ask(pools, sleeps)
    with pytest.raises(DeadlineExceeded):
        await ask(pools, sleeps, 60.0, seconds=0.2)
    assert await ask(pools, sleeps) != before
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_a_process_that_dies_is_unavailable_and_replaced(pools: Pools) -> None:
    for _ in range(2):
        with pytest.raises(ReplicaError, match="its process died") as raised:
            await ask(pools, dies)
        assert raised.value.code is StatusCode.UNAVAILABLE


async def test_who_finds_all_processes_busy_waits_until_its_deadline(pools: Pools) -> None:
    first = asyncio.ensure_future(ask(pools, sleeps, 1.5))
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceeded, match="busy"):
        await ask(pools, sleeps, seconds=0.1)
    assert await first
