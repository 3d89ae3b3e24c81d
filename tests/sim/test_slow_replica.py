"""One of eleven replicas answers in 2 s for half of a minute, and callers wait 1 s: what does the balancer lose?

The replay that Finagle's authors used for peak EWMA, with a time-out; ejection and retries are off.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.sim.fleet import Behaviour, Choose, Node, Result, peak_ewma, round_robin, simulate, usual

REPLICAS, MEDIAN, RATE, SECONDS, TIMEOUT = 11, 0.160, 1000.0, 60.0, 1.0
SLOW, FROM, UNTIL = 2.0, 15.0, 45.0
normal = usual(MEDIAN)  # 167 ms on average


def stalls(now: float, rng: random.Random) -> tuple[float, bool]:
    return (SLOW, True) if FROM <= now < UNTIL else normal(now, rng)


FLEET: list[Behaviour] = [stalls] + [normal] * (REPLICAS - 1)


def replay(choose: Callable[[random.Random], Choose], seed: int, **options: Any) -> Result:
    return simulate(FLEET, choose, rate=RATE, seconds=SECONDS, timeout=TIMEOUT, seed=seed, **options)


@pytest.mark.parametrize("seed", [1, 2])
def test_peak_ewma_loses_next_to_nothing_where_round_robin_loses_one_in_twenty(seed: int) -> None:
    turns = replay(round_robin, seed)
    peak = replay(peak_ewma, seed)
    assert 0.945 <= turns.success <= 0.965
    assert peak.success >= 0.995


def test_the_slow_replica_has_its_share_back_half_a_minute_later() -> None:
    answers: Counter[str] = Counter()

    def detail(now: float, node: Node, good: bool) -> None:
        if now >= UNTIL + 30:
            answers[node.replica.id] += 1

    simulate(FLEET, peak_ewma, rate=RATE, seconds=UNTIL + 40, timeout=TIMEOUT, seed=3, detail=detail)
    assert answers["0"] / answers.total() > 0.75 / REPLICAS


def test_ejection_loses_no_more_than_the_balancer_alone() -> None:
    alone, both = replay(peak_ewma, 4), replay(peak_ewma, 4, ejection=True)
    assert both.success >= alone.success - 0.0005
    turns = replay(round_robin, 4, ejection=True)
    assert turns.success >= 0.995  # even without a good balancer the breaker takes it out
