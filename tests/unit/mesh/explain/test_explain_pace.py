"""What is slow for a model: by its own answers, and by what it promises."""

from __future__ import annotations

import pytest

from inferloom.mesh.explain.pace import ENOUGH, INFINITY, WINDOW, Pace


def paced(seconds: float, count: int, now: float = 0.0) -> Pace:
    pace = Pace(now)
    for _ in range(count):
        pace.add(seconds, now)
    pace.refresh(now)
    return pace


def test_nothing_is_slow_before_enough_answers_have_been_seen() -> None:
    pace = paced(0.01, ENOUGH - 1)
    assert pace.limit == INFINITY
    assert not pace.add(60.0, 0.0)


def test_an_answer_beyond_the_99th_percentile_is_slow_and_the_usual_ones_are_not() -> None:
    pace = paced(0.01, 1000)
    assert 0.01 <= pace.limit <= 0.0121, "the upper bound of the bucket"
    assert not pace.add(0.01, 0.0)
    assert pace.add(0.013, 0.0)


def test_what_misses_the_objective_is_slow_from_the_first_request() -> None:
    promised: list[float | None] = [0.05]
    pace = Pace(0.0, lambda: promised[0])
    assert pace.add(0.06, 0.0)
    assert not pace.add(0.04, 0.0)
    promised[0] = None
    pace.refresh(0.0)
    assert not pace.add(0.06, 0.0)


def test_failures_are_counted_and_say_nothing_of_the_pace() -> None:
    pace = paced(0.01, 10)
    for _ in range(1000):
        pace.fail()
    assert (pace.count, pace.failed) == (1010, 1000)
    assert pace.quantile(0.5) == pytest.approx(0.01, rel=0.2)


def test_the_quantiles_are_of_the_last_two_windows() -> None:
    pace = paced(1.0, 200)
    pace.refresh(WINDOW)
    for _ in range(200):
        pace.add(0.01, WINDOW)
    assert pace.quantile(0.99) > 0.8, "the window before still counts"
    pace.refresh(2 * WINDOW)
    assert pace.quantile(0.99) < 0.013
    pace.refresh(10 * WINDOW)
    assert pace.quantile(0.99) == 0.0


@pytest.mark.parametrize("seconds", [0.0, 1e-5, 0.002, 3.0, 1e6])
def test_a_quantile_lies_in_the_bucket_of_its_values(seconds: float) -> None:
    pace = paced(seconds, 10)
    assert pace.quantile(0.5) <= max(seconds * 1.2, 0.0001)


def test_answers_that_somebody_else_has_counted_are_added_at_once() -> None:
    pace = Pace(0.0)
    pace.add_counted(0.01, 990)
    pace.add_counted(0.5, 10)
    pace.refresh(0.0)
    assert pace.count == 1000
    assert 0.008 <= pace.quantile(0.5) <= 0.0121
    assert 0.01 <= pace.limit <= 0.0121


def test_how_long_few_answers_take_more_than() -> None:
    pace = Pace(0.0)
    assert pace.exceeded_by(0) <= 0.0001
    pace.add_counted(0.01, 100)
    pace.add_counted(0.5, 10)
    assert 0.5 <= pace.exceeded_by(9) <= 0.6
    assert 0.01 <= pace.exceeded_by(10) <= 0.0121
    assert pace.exceeded_by(110) <= 0.0001
    pace.add_counted(1000.0, 1)
    assert pace.exceeded_by(0) == INFINITY
