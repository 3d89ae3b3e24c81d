from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import InferloomError, RegistryUnavailable
from inferloom.mesh.registry.consul.blocking import BlockingQuery, next_index
from inferloom.mesh.registry.consul.client import Answer, ConsulClient
from inferloom.mesh.registry.consul.pace import TokenBucket, jittered, retrying
from inferloom.mesh.registry.consul.settings import ConsulSettings


@pytest.mark.parametrize(
    ("asked", "answered", "expected"),
    [(0, 7, 7), (7, 7, 7), (7, 9, 9), (7, 3, 0), (7, 0, 0), (0, 0, 1)],
    ids=["first", "unchanged", "newer", "backwards", "backwards to nothing", "an empty store has no index"],
)
def test_the_next_index(asked: int, answered: int, expected: int) -> None:
    assert next_index(asked, answered) == expected


class Script:
    """Answers in order, then never again; notes the index of each question."""

    def __init__(self, *answers: int | InferloomError) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def read(self, path: str, params: Sequence[tuple[str, str]], *, index: int = 0, **_: Any) -> Answer:
        self.asked.append(index)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, InferloomError):
            raise answer
        return Answer(answer, b"[]", True)


async def played(*answers: int | InferloomError, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[object]]:
    script, events, clock = Script(*answers), list[object](), ManualClock()
    monkeypatch.setattr(ConsulClient, "read", lambda self, *args, **kwargs: script.read(*args, **kwargs))

    async def take(answer: Answer, continuous: bool) -> None:
        events.append((answer.index, continuous))

    query = BlockingQuery(
        ConsulClient(ConsulSettings()),
        "/v1/kv/x",
        [],
        needs="",
        take=take,
        lost=lambda error: events.append("lost"),
        found=lambda: events.append("found"),
        clock=clock,
        rng=random.Random(1),
    )
    task = asyncio.create_task(query.run())
    for _ in range(40):
        await clock.advance(0.5)
    task.cancel()
    await asyncio.wait({task})
    return script.asked, events


async def test_an_unchanged_answer_is_not_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, events = await played(5, 5, 6, monkeypatch=monkeypatch)
    assert asked == [0, 5, 5, 6]
    assert events == [(5, False), "found", "found", (6, True), "found"]


async def test_an_index_that_goes_backwards_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, events = await played(50, 3, 3, monkeypatch=monkeypatch)
    assert asked == [0, 50, 0, 3]
    assert events == [(50, False), "found", (3, False), "found", (3, False), "found"]


async def test_after_a_failure_the_question_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    away = RegistryUnavailable("away")
    asked, events = await played(5, away, away, 9, monkeypatch=monkeypatch)
    assert asked == [0, 5, 0, 0, 9]
    assert events == [(5, False), "found", "lost", "lost", (9, False), "found"]


async def test_the_bucket_gives_two_at_once_and_two_per_second() -> None:
    clock, taken = ManualClock(0.0), list[float]()

    async def take() -> None:
        bucket = TokenBucket(clock)
        while True:
            await bucket.take()
            taken.append(clock.now())

    task = asyncio.create_task(take())
    await asyncio.sleep(0)
    await clock.advance(1.6)
    task.cancel()
    await asyncio.wait({task})
    assert taken == [0.0, 0.0, 0.5, 1.0, 1.5]


async def test_repetitions_come_slower_up_to_a_bound() -> None:
    waits = list[float]()

    class Noted(ManualClock):
        async def sleep(self, seconds: float) -> None:
            waits.append(seconds)

    async def fail() -> None:
        raise RegistryUnavailable("still away")

    with pytest.raises(RegistryUnavailable, match="still"):
        await retrying(Noted(), random.Random(1), attempts=9)(fail)
    bounds = [min(2.0, 0.1 * 2**number) for number in range(8)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def test_a_jitter_only_shortens() -> None:
    rng = random.Random(3)
    assert all(8.0 <= jittered(rng, 10.0) <= 10.0 for _ in range(100))
