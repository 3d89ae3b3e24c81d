"""A replica that fails at once looks like the fastest of all. It must not swallow the traffic."""

from __future__ import annotations

import random

import pytest

from tests.sim.fleet import Behaviour, Node, peak_ewma, simulate, usual

MEDIAN, RATE, SECONDS, TIMEOUT = 0.050, 400.0, 60.0, 1.0
normal = usual(MEDIAN)


def fails_at_once(now: float, rng: random.Random) -> tuple[float, bool]:
    return 0.0005, False


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("ejection", [False, True], ids=["balancer alone", "with ejection"])
def test_a_black_hole_gets_less_than_a_twentieth_of_the_traffic(count: int, ejection: bool) -> None:
    fleet: list[Behaviour] = [fails_at_once] + [normal] * (count - 1)
    result = simulate(fleet, peak_ewma, rate=RATE, seconds=SECONDS, timeout=TIMEOUT, seed=1, ejection=ejection)
    assert result.share("0") < 0.05
    assert result.success > 0.95


def test_a_replica_that_recovers_is_used_again() -> None:
    def recovers(now: float, rng: random.Random) -> tuple[float, bool]:
        return fails_at_once(now, rng) if now < 20 else normal(now, rng)

    late = [0, 0]

    def detail(now: float, node: Node, good: bool) -> None:
        if now > 90:
            late[node.replica.id == "0"] += 1

    fleet: list[Behaviour] = [recovers, normal, normal]
    simulate(fleet, peak_ewma, rate=RATE, seconds=120, timeout=TIMEOUT, seed=2, ejection=True, detail=detail)
    assert late[1] / sum(late) > 0.25
