from __future__ import annotations

from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.balance.load import DECAY, FAILURE_SECONDS, SLOW_START, UNMEASURED, ReplicaLoad
from inferloom.mesh.call import Verdict

SUCCESS, FAILURE, RETRYABLE = Verdict.SUCCESS, Verdict.FAILURE, Verdict.RETRYABLE
ALWAYS = float("-inf")


def measured(seconds: float, now: float = 0.0, verdict: Verdict = SUCCESS, began: float = ALWAYS) -> ReplicaLoad:
    load = ReplicaLoad(began)
    load.begin()
    load.done(verdict, seconds, now)
    return load


def test_an_unmeasured_replica_gets_one_request_and_the_second_waits_for_its_answer() -> None:
    load = ReplicaLoad(ALWAYS)
    assert load.cost(0.0, 1.0) == 0.0
    load.begin()
    assert load.cost(0.0, 1.0) == UNMEASURED
    load.done(SUCCESS, 0.1, 0.0)
    assert load.cost(0.0, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("verdict", [FAILURE, RETRYABLE])
def test_a_failure_counts_as_five_seconds_however_fast_it_came(verdict: Verdict) -> None:
    assert measured(0.0001, verdict=verdict).seconds == FAILURE_SECONDS
    assert measured(8.0, verdict=verdict).seconds == 8.0


@pytest.mark.parametrize("verdict", [Verdict.IGNORED, Verdict.SHED])
def test_cancellations_and_shed_load_leave_the_average_alone(verdict: Verdict) -> None:
    load = measured(0.1)
    load.begin()
    load.done(verdict, 3.0, 1.0)
    assert (load.seconds, load.in_flight, load.requests, load.failures) == (0.1, 0, 2, 0)


def test_the_average_follows_a_slower_answer_at_once_and_a_faster_one_slowly() -> None:
    load = measured(0.1)
    load.begin()
    load.done(SUCCESS, 2.0, 1.0)
    assert load.seconds == 2.0
    load.begin()
    load.done(SUCCESS, 0.1, 2.0)
    assert load.seconds == pytest.approx(2.0 * exp(-1 / DECAY) + 0.1 * (1 - exp(-1 / DECAY)))


def test_without_answers_the_cost_decays_so_that_it_is_tried_again() -> None:
    load = measured(2.0)
    assert load.cost(0.05, 1.0) == 2.0
    assert load.cost(DECAY, 1.0) == pytest.approx(2.0 / exp(1))


def test_requests_in_flight_and_a_smaller_weight_cost_more() -> None:
    load = measured(0.1)
    load.begin()
    load.begin()
    assert load.cost(0.0, 1.0) == pytest.approx(0.3)
    assert load.cost(0.0, 2.0) == pytest.approx(0.15)


def test_a_replica_that_joins_starts_with_a_tenth_of_its_share() -> None:
    load = measured(0.1, now=100.0, began=100.0)
    assert load.cost(100.0, 1.0) == pytest.approx(1.0)
    load.begin()
    load.done(SUCCESS, 0.1, 100.0 + SLOW_START / 2)
    assert load.cost(100.0 + SLOW_START / 2, 1.0) == pytest.approx(0.1 / 0.55)
    load.begin()
    load.done(SUCCESS, 0.1, 100.0 + SLOW_START)
    assert load.cost(100.0 + SLOW_START, 1.0) == pytest.approx(0.1)


def test_the_typical_time_leaves_failures_out() -> None:
    load = measured(0.1)
    for _ in range(20):
        load.begin()
        load.done(FAILURE, 1.0, 1.0)
    assert load.typical == 0.1
    assert load.failures == 20
    for _ in range(100):
        load.begin()
        load.done(SUCCESS, 0.5, 2.0)
    assert load.typical == pytest.approx(0.5, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.sampled_from(list(Verdict)), st.floats(0.0001, 10)), max_size=40),
    st.floats(0.1, 10),
)
@settings(max_examples=100, deadline=None)
def test_cost_is_never_negative_and_the_average_stays_between_what_was_seen(
    answers: list[tuple[float, Verdict, float]], weight: float
) -> None:
    load = ReplicaLoad(0.0)
    now, seen = 0.0, [0.0]
    for pause, verdict, seconds in answers:
        now += pause
        load.begin()
        assert load.cost(now, weight) >= 0
        load.done(verdict, seconds, now)
        seen.append(max(seconds, FAILURE_SECONDS) if verdict in (FAILURE, RETRYABLE) else seconds)
        assert 0 <= load.seconds <= max(seen) + 1e-9
    assert load.in_flight == 0


def test_a_replica_whose_breaker_has_closed_is_no_longer_judged_by_its_failures() -> None:
    load = ReplicaLoad(0.0)
    for moment in range(3):
        load.begin()
        load.done(Verdict.RETRYABLE, 0.001, 100.0 + moment)
    assert load.seconds == pytest.approx(5.0)
    load.begin()
    load.restart(110.0)
    load.done(Verdict.SUCCESS, 0.02, 110.0)
    assert load.seconds == pytest.approx(0.02)
