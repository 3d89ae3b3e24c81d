"""When a further batch goes out beside those under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.services.composer.batcher import SHORT, Batcher, Member


class Work:
    """Batches that take as long as they are told, one after another or at once."""

    def __init__(self, seconds: float, *, width: int = 1, allowed: int = 3) -> None:
        self.clock = ManualClock()
        self.seconds = seconds
        self.sizes: list[int] = []
        self.at_once = self.most_at_once = 0
        self.batcher: Batcher[None] = Batcher(self._run, 64, self.clock)
        self.batcher.width, self.batcher.allowed = width, allowed

    async def _run(self, members: list[Member[None]]) -> None:
        self.sizes.append(len(members))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.clock.sleep(self.seconds)
        self.at_once -= 1
        for member in members:
            member.done()

    def ask(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.batcher.submit("", Member(None, 1, self.clock.now() + 1e6, "here")))

    async def burst(self, count: int) -> None:
        """So many callers, one after the other, who all have their answers at the end."""
        asked = []
        for _ in range(count):
            asked.append(self.ask())
            await self.clock.advance(self.seconds / 100)
        while not all(each.done() for each in asked):
            await self.clock.advance(self.seconds / 10)


@pytest.fixture
async def long() -> AsyncIterator[Work]:
    work = Work(2 * SHORT)
    yield work
    await work.batcher.close()


@pytest.fixture
async def short() -> AsyncIterator[Work]:
    work = Work(SHORT / 2)
    yield work
    await work.batcher.close()


async def test_short_batches_do_not_overlap(short: Work) -> None:
    for _ in range(4):
        await short.burst(30)
    assert short.most_at_once == 1


async def test_long_batches_overlap_so_that_no_stage_idles(long: Work) -> None:
    for _ in range(8):
        await long.burst(30)
    assert 2 <= long.most_at_once <= 3


async def test_a_further_batch_waits_for_its_share_of_the_load(long: Work) -> None:
    for _ in range(8):
        await long.burst(30)
    long.sizes.clear()
    await long.burst(30)
    assert sum(long.sizes) == 30
    assert min(long.sizes[1:-1]) >= 5  # a share of the load; only the first goes out alone


async def test_a_model_with_two_replicas_works_on_two_short_batches_at_once() -> None:
    work = Work(SHORT / 2, width=2, allowed=6)
    for _ in range(4):
        await work.burst(30)
    assert work.most_at_once == 2
    await work.batcher.close()


async def test_one_who_comes_alone_goes_out_at_once_also_after_a_crowd(long: Work) -> None:
    await long.burst(30)
    long.sizes.clear()
    asked = long.ask()
    await long.clock.advance(long.seconds)
    assert asked.done()
    assert long.sizes == [1]
