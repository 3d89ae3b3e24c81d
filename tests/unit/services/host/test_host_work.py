"""Running users' code: who is told what when it is late, cancelled or does not stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.clock import SYSTEM, SystemClock
from inferloom.mesh.errors import DeadlineExceeded, Exhausted, ReplicaError
from inferloom.services.context import CallContext, current
from inferloom.services.host.work import Work


class Case:
    def __init__(self, grace: float = 60.0) -> None:
        self.stuck: list[str] = []
        self.work = Work(grace, self.stuck.append)

    async def call(self, function: Any, seconds: float = 60.0, **arguments: Any) -> Any:
        context = CallContext(SYSTEM.now() + seconds, (("user", "ada"),))
        return await self.work.call(function, arguments, context, "Shop")

    async def stream(self, function: Any, **arguments: Any) -> list[Any]:
        context = CallContext(SYSTEM.now() + 60.0)
        return [item async for item in self.work.stream(function, arguments, context, "Shop")]


@pytest.fixture
def case() -> Iterator[Case]:
    found = Case()
    yield found
    found.work.close()


async def test_an_async_function_runs_in_the_loop_and_a_plain_one_in_a_thread(case: Case) -> None:
    async def here() -> int:
        return threading.get_ident()

    def there() -> int:
        return threading.get_ident()

    assert await case.call(here) == threading.get_ident()
    assert await case.call(there) != threading.get_ident()


async def test_both_know_their_call(case: Case) -> None:
    async def here() -> Any:
        return current.get()

    def there() -> Any:
        return current.get()

    for function in (here, there):
        assert (await case.call(function)).metadata == (("user", "ada"),)
    assert current.get() is None


async def test_what_it_raises_passes_on(case: Case) -> None:
    async def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await case.call(fails)


async def test_an_error_of_an_inner_call_says_that_the_code_around_it_had_begun(case: Case) -> None:
    async def fails() -> None:
        raise Exhausted("full", reason="shed", pushback=0.1)

    with pytest.raises(ReplicaError) as raised:
        await case.call(fails)
    assert raised.value.code is StatusCode.RESOURCE_EXHAUSTED
    assert ("x-inferloom-inner", "1") in raised.value.trailing


async def test_code_that_cancels_itself_is_an_error_of_its_own(case: Case) -> None:
    async def cancels() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="the code cancelled itself"):
        await case.call(cancels)


async def test_code_that_ends_the_process_is_an_error_of_its_own(case: Case) -> None:
    async def here() -> None:
        raise SystemExit(3)

    def there() -> None:
        raise SystemExit(3)

    for function in (here, there):
        with pytest.raises(RuntimeError, match=r"asked to end the process \(SystemExit: 3\)"):
            await case.call(function)


async def test_a_deadline_that_has_passed_ends_the_call_and_cancels_the_code(case: Case) -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded, match="'Shop' did not answer before the deadline"):
        await case.call(waits, seconds=0.0)
    assert not case.stuck
    assert await asyncio.wait_for(ended.wait(), 5)


async def test_a_caller_that_is_cancelled_cancels_the_code(case: Case) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    calling = asyncio.create_task(case.call(waits))
    await begun.wait()
    calling.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_code_that_does_not_stop_is_told_of_and_the_caller_does_not_wait_for_it() -> None:
    case, release = Case(grace=0.0), asyncio.Event()

    async def deaf() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(DeadlineExceeded):
        await case.call(deaf, seconds=0.01)
    while not case.stuck:
        await asyncio.sleep(0)
    assert (case.stuck, len(case.work.stopping)) == (["Shop"], 1)
    release.set()
    while case.work.stopping:
        await asyncio.sleep(0)
    case.work.close()


async def test_a_thread_that_does_not_stop_is_told_of() -> None:
    case, release = Case(grace=0.0), threading.Event()

    def deaf() -> None:
        release.wait()

    with pytest.raises(DeadlineExceeded):
        await case.call(deaf, seconds=0.05)
    while not case.stuck:
        await asyncio.sleep(0)
    release.set()
    while case.work.stopping:
        await asyncio.sleep(0)
    case.work.close()


async def test_generators_of_both_kinds_give_their_items(case: Case) -> None:
    async def here(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    def there(n: int) -> Iterator[int]:
        yield from range(n)

    assert await case.stream(here, n=3) == [0, 1, 2]
    assert await case.stream(there, n=3) == [0, 1, 2]


async def test_a_generator_is_not_ahead_of_its_caller_by_more_than_it_must(case: Case) -> None:
    made: list[int] = []

    async def items() -> AsyncIterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    context = CallContext(SYSTEM.now() + 60.0)
    stream = case.work.stream(items, {}, context, "Shop")
    assert await anext(stream) == 0
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(made) <= 4
    await stream.aclose()
    while case.work.stopping:
        await asyncio.sleep(0)


async def test_a_generator_that_raises_says_so_after_its_items(case: Case) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise KeyError("x")

    stream = case.work.stream(items, {}, CallContext(SYSTEM.now() + 60.0), "Shop")
    assert await anext(stream) == 1
    with pytest.raises(KeyError):
        await anext(stream)


async def test_waiting_for_a_turn_and_the_code_s_own_time_are_counted_apart() -> None:
    clock = _Ticking()
    work = Work(60.0, lambda call: None, clock)

    def plain() -> None:
        clock.ticks += 5.0

    async def quick() -> None:
        clock.ticks += 2.0

    context = CallContext(clock.now() + 1000.0)
    await work.call(plain, {}, context, "Plain")
    await work.call(quick, {}, context, "Quick")
    work.close()
    told = {
        (s.name, s.labels["model"]): s.value
        for family in work.times.collect(frozenset({"Plain", "Quick"}))
        for s in family.samples
        if s.name.endswith(("_sum", "_count"))
    }
    assert told["inferloom_host_run_seconds_sum", "Plain"] == 5.0
    assert told["inferloom_host_run_seconds_sum", "Quick"] == 2.0
    assert told["inferloom_host_queue_seconds_sum", "Plain"] == 0.0
    assert told["inferloom_host_queue_seconds_count", "Plain"] == told["inferloom_host_run_seconds_count", "Plain"] == 1
    assert next(iter(work.times.collect(frozenset()))).samples == []  # what is not served has no labels


class _Ticking(SystemClock):
    """Stands still but for what is added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks = 1000.0
        self.now = lambda: self.ticks
