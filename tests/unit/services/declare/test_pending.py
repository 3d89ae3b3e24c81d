"""Answers that are on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
import structlog.testing

from inferloom.mesh.errors import InferloomError
from inferloom.services.declare.pending import Pending, resolved, scope


class Call:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> dict[str, int]:
        self.begun += 1
        try:
            await self.ended.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return {"label": 3}


def failing(error: Exception) -> Callable[[], Coroutine[Any, Any, Any]]:
    async def call() -> Any:
        raise error

    return call


async def settle() -> None:
    """Let whatever is ready run, the cancelled included."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_call_begins_at_once_and_once_for_all_who_await_it() -> None:
    call = Call()
    pending = Pending(call, "digits")
    await settle()
    assert call.begun == 1
    call.ended.set()
    answers: list[Any] = list(await asyncio.gather(pending, pending, pending["label"]))
    assert answers == [{"label": 3}, {"label": 3}, 3]
    assert call.begun == 1
    assert repr(pending) == "<Pending digits: done>"


def test_without_a_loop_it_begins_when_it_is_awaited() -> None:
    async def call() -> int:
        return 3

    pending = Pending(call, "digits")
    assert repr(pending) == "<Pending digits: not begun>"

    async def wait() -> int:
        return await pending

    assert asyncio.run(wait()) == 3


async def test_two_calls_run_side_by_side() -> None:
    first, second = Call(), Call()
    both = [Pending(first, "a"), Pending(second, "b")]
    await settle()
    assert (first.begun, second.begun) == (1, 1)
    first.ended.set()
    second.ended.set()
    await asyncio.gather(*both)


async def test_what_awaits_it_alone_takes_it_along_when_it_is_cancelled() -> None:
    call = Call()
    pending = Pending(call, "digits")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await pending
    await settle()
    assert call.cancelled


async def test_one_of_two_who_is_cancelled_leaves_the_call_to_the_other() -> None:
    call = Call()
    pending = Pending(call, "digits")
    one, other = asyncio.ensure_future(pending), asyncio.ensure_future(pending)
    await settle()
    one.cancel()
    await settle()
    assert not call.cancelled
    call.ended.set()
    assert await other == {"label": 3}


async def test_the_end_of_a_scope_cancels_what_is_still_under_way() -> None:
    call = Call()
    with scope():
        Pending(call, "digits")
        await settle()
    await settle()
    assert call.cancelled


async def test_a_scope_leaves_alone_what_was_begun_outside() -> None:
    call = Call()
    pending = Pending(call, "digits")
    await settle()
    with scope():
        pass
    await settle()
    assert not call.cancelled
    call.ended.set()
    await pending


async def test_a_task_begun_in_a_scope_belongs_to_it() -> None:
    call = Call()

    async def work() -> None:
        Pending(call, "digits")

    with scope():
        await asyncio.create_task(work())
        await settle()
    await settle()
    assert call.cancelled


async def test_a_failure_that_nobody_awaited_is_logged_and_no_noise_is_made() -> None:
    with structlog.testing.capture_logs() as logs, scope():
        Pending(failing(ValueError("no such label")), "digits")
        await settle()
    assert logs == [
        {
            "event": "a call that nobody awaited failed",
            "call": "digits",
            "error": "no such label",
            "log_level": "warning",
        }
    ]


async def test_a_failure_that_somebody_got_is_not_logged() -> None:
    with structlog.testing.capture_logs() as logs, scope():
        pending = Pending(failing(ValueError("no such label")), "digits")
        with pytest.raises(ValueError, match="no such label"):
            await pending.label
        with pytest.raises(ValueError, match="no such label"):
            await pending
    assert logs == []


@pytest.mark.parametrize(
    "use",
    [
        *(bool, list, len, float, int, range, np.asarray),
        *(lambda p: p(), lambda p: p + 1, lambda p: np.ones(2) * p, lambda p: p > 2, lambda p: 3 in p),
        *(lambda p: p == 3, lambda p: p != 3),  # would be False and True whatever the answer is
    ],
)
async def test_a_value_that_is_not_there_yet_cannot_be_looked_at(use: Callable[[Any], Any]) -> None:
    async def call() -> int:
        return 3

    pending = Pending(call, "digits")
    with pytest.raises(TypeError, match="digits is still on its way: await the call first, `await digits"):
        use(pending)
    assert await pending == 3


@pytest.mark.parametrize(
    ("use", "cure"),
    [
        (lambda call: call.probabilities.max(), "`(await iris(...)).probabilities.max`"),
        (lambda call: call["label"] + 1, "`(await iris(...))['label']`"),
        (lambda call: call.probabilities[0][1] > 0.5, "`(await iris(...)).probabilities[0][1]`"),
    ],
)
async def test_what_is_done_with_an_output_too_early_is_told_with_where_the_await_belongs(
    use: Callable[[Any], Any], cure: str
) -> None:
    call = Call()
    call.ended.set()
    pending = Pending(call, "iris")
    with pytest.raises(TypeError) as caught:
        use(pending)
    assert str(caught.value) == f"the answer of iris is still on its way: await the call first, {cure}"
    assert await pending == {"label": 3}


async def test_a_call_is_equal_to_itself_alone_and_may_be_a_key() -> None:
    async def call() -> int:
        return 3

    one, other = Pending(call, "a"), Pending(call, "a")
    assert {one: "one", other: "other"}[other] == "other"
    assert [other, one].index(one) == 1
    assert list(await asyncio.gather(one, other)) == [3, 3]


async def test_answers_inside_of_lists_and_mappings_are_awaited_together() -> None:
    async def call() -> int:
        return 3

    value = {"a": Pending(call, "a"), "b": [1, Pending(call, "b")], "c": "text"}
    assert await resolved(value) == {"a": 3, "b": [1, 3], "c": "text"}
    assert await resolved((Pending(call, "a"), 2)) == (3, 2)
    plain = [1, 2]
    assert await resolved(plain) is plain


async def test_awaited_at_once_it_runs_in_the_task_that_awaits_it() -> None:
    tasks = []

    async def call() -> int:
        tasks.append(asyncio.current_task())
        return 3

    assert await Pending(call, "digits") == 3
    await settle()
    assert tasks == [asyncio.current_task()]


async def test_others_get_the_answer_of_who_awaited_it_first() -> None:
    call = Call()
    pending = Pending(call, "digits")

    async def other() -> Any:
        return (await pending)["label"]

    waiting = asyncio.create_task(other())
    asyncio.get_running_loop().call_soon(call.ended.set)
    assert await pending == {"label": 3}
    assert await waiting == 3
    assert await pending == {"label": 3}
    assert (call.begun, repr(pending)) == (1, "<Pending digits: done>")


async def test_a_failure_comes_to_everybody_who_awaits_it() -> None:
    pending = Pending(failing(ValueError("no such label")), "digits")
    for _ in range(2):
        with pytest.raises(ValueError, match="no such label"):
            await pending


async def test_who_awaits_it_first_and_is_cancelled_takes_it_along_and_the_others_are_told() -> None:
    call = Call()
    made: list[Pending[Any]] = []

    async def first() -> None:
        made.append(Pending(call, "digits"))
        await made[0]

    running = asyncio.create_task(first())
    await settle()
    waiting = asyncio.ensure_future(made[0])
    await settle()
    running.cancel()
    with pytest.raises(InferloomError, match="the call of digits was cancelled by who had awaited it first"):
        await waiting
    assert call.cancelled


async def test_the_end_of_a_scope_cancels_a_task_that_still_awaits_a_call() -> None:
    call = Call()

    async def work() -> None:
        await Pending(call, "digits")

    with scope():
        task = asyncio.create_task(work())
        await settle()
        assert call.begun == 1
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.cancelled


async def test_what_has_not_begun_when_its_scope_ends_never_does() -> None:
    call = Call()
    with scope():
        Pending(call, "digits")
    await settle()
    assert call.begun == 0
