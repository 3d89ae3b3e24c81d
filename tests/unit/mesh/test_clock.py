from __future__ import annotations

import asyncio

from inferloom.mesh.clock import ManualClock, seeded


async def test_sleepers_wake_in_order_each_at_its_own_moment() -> None:
    clock = ManualClock(start=0.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.now()))

    tasks = [asyncio.create_task(sleeper("a", 1.0, 1.0)), asyncio.create_task(sleeper("b", 1.5))]
    await clock.advance(5.0)
    await asyncio.gather(*tasks)
    assert woken == [("a", 1.0), ("b", 1.5), ("a", 2.0)]
    assert clock.now() == 5.0


async def test_the_wall_clock_moves_with_it() -> None:
    clock = ManualClock(start=10.0, wall=100.0)
    await clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (12.5, 102.5)


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await clock.advance(2.0)
    assert not clock._sleepers


def test_the_same_seed_draws_the_same() -> None:
    assert [seeded(7).random() for _ in range(3)] == [seeded(7).random() for _ in range(3)]
