from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.latest import Latest


class Value:
    """Told apart by identity."""


async def test_a_watcher_gets_the_present_value_at_once() -> None:
    latest = Latest(1)
    assert await anext(latest.watch()) == 1


async def test_a_slow_watcher_skips_what_it_missed_and_never_the_newest() -> None:
    latest = Latest(0)
    watch = latest.watch()
    assert await anext(watch) == 0
    for value in range(1, 5):
        latest.set(value)
    assert await anext(watch) == 4
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    latest.set(5)
    assert await waiting == 5


async def test_a_value_set_between_two_looks_is_not_lost() -> None:
    latest = Latest(0)
    watch = latest.watch()
    assert await anext(watch) == 0
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    latest.set(1)
    latest.set(2)  # before the watcher has run
    assert await waiting == 2


async def test_the_same_object_again_wakes_nobody() -> None:
    value = Value()
    latest = Latest(value)
    watch = latest.watch()
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    latest.set(value)
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_watcher_that_is_cancelled_leaves_nothing_behind() -> None:
    latest = Latest(0)
    watch = latest.watch()
    await anext(watch)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not latest._changed
    latest.set(1)
    assert latest.value == 1


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_the_order_every_watcher_ends_at_the_newest_value(steps: list[int], seed: int) -> None:
    """`steps`: 0 sets a new value, 1 to 3 let the watchers run that often."""

    async def run() -> None:
        latest: Latest[Value] = Latest(Value())
        seen: list[list[Value]] = [[], [], []]

        async def follow(into: list[Value], pause: int) -> None:
            async for value in latest.watch():
                into.append(value)
                for _ in range(pause):
                    await asyncio.sleep(0)

        tasks = [asyncio.create_task(follow(into, number * 2)) for number, into in enumerate(seen)]
        for step in steps:
            if step == 0:
                latest.set(Value())
            for _ in range(step):
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        for into in seen:
            assert into[-1] is latest.value
            assert len({id(value) for value in into}) == len(into)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
