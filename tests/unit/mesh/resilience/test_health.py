"""The breaker, told transition by transition on a clock that stands still."""

from __future__ import annotations

import random

import pytest

from inferloom.mesh.call import Verdict
from inferloom.mesh.policy import Breaking
from inferloom.mesh.resilience.health import BreakerState, ReplicaHealth

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
SUCCESS, FAILURE, IGNORED, SHED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.IGNORED, Verdict.SHED
EXACT = Breaking(jitter=0.0)


def breaker(settings: Breaking = EXACT, *, may_open: bool = True) -> ReplicaHealth:
    return ReplicaHealth(settings, random.Random(1), may_open=lambda: may_open)


def fail(health: ReplicaHealth, times: int, now: float, verdict: Verdict = FAILURE) -> None:
    for _ in range(times):
        health.begin().done(verdict, now)


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    health = breaker()
    fail(health, 4, 0.0)
    assert health.state is CLOSED
    fail(health, 1, 0.0)
    assert health.state is OPEN
    assert health.why == "5 failures in a row"
    assert "open until 5.0" in repr(health)


def test_a_success_in_between_begins_the_count_again() -> None:
    health = breaker()
    for _ in range(3):
        fail(health, 4, 0.0)
        health.begin().done(SUCCESS, 0.0)
    assert health.state is CLOSED


@pytest.mark.parametrize("verdict", [IGNORED, SHED])
def test_cancellations_and_shed_load_neither_harm_nor_heal(verdict: Verdict) -> None:
    health = breaker()
    fail(health, 100, 0.0, verdict)
    assert health.state is CLOSED
    fail(health, 4, 0.0)
    fail(health, 1, 0.0, verdict)
    fail(health, 1, 0.0)
    assert health.state is OPEN  # the cancellation in between did not heal


def test_half_of_twenty_requests_failing_within_the_window_open_it() -> None:
    health = breaker()
    for number in range(19):
        health.begin().done(FAILURE if number % 2 else SUCCESS, 1.0)
    assert health.state is CLOSED
    health.begin().done(FAILURE, 1.0)
    assert health.state is OPEN
    assert health.why == "10 of 20 requests failed"


def test_failures_older_than_the_window_are_forgotten() -> None:
    health = breaker()
    for number in range(16):
        health.begin().done(SUCCESS if number % 3 == 0 else FAILURE, 0.0)
    later = EXACT.window + 0.1
    for number in range(8):
        health.begin().done(SUCCESS if number % 2 == 0 else FAILURE, later)
    assert (health.state, health.generation) == (CLOSED, 0)


def test_failures_of_the_half_window_before_still_count() -> None:
    health = breaker()
    for number in range(12):
        health.begin().done(SUCCESS if number % 4 == 0 else FAILURE, 0.0)
    later = EXACT.window / 2 + 0.1
    for number in range(8):
        health.begin().done(SUCCESS if number % 4 == 0 else FAILURE, later)
    assert health.state is OPEN
    assert health.why == "15 of 20 requests failed"


def test_open_admits_nothing_until_its_time_is_over() -> None:
    health = breaker()
    fail(health, 5, 100.0)
    assert not health.admits(104.999)
    assert health.state is OPEN
    assert health.admits(105.0)
    assert health.state is HALF_OPEN


def test_half_open_admits_one_request_at_a_time() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    permit = health.begin()
    assert permit.probe
    assert not health.admits(6.0)
    permit.done(SUCCESS, 6.0)
    assert health.state is CLOSED
    assert health.why == ""


def test_a_failed_probing_request_opens_it_again_for_longer_each_time() -> None:
    health = breaker()
    now = 0.0
    fail(health, 5, now)
    for number in range(2, 8):
        assert health.open_until - now == EXACT.base * (number - 1)
        now = health.open_until
        assert health.admits(now)
        health.begin().done(FAILURE, now)
        assert health.state is OPEN
    assert health.why == "the probing request failed"


def test_probing_requests_that_fail_long_after_it_was_healthy_keep_growing_the_time_out() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    health.begin().done(SUCCESS, 5.0)  # healthy from here on, for more than `forget`
    now = 200.0
    fail(health, 5, now)
    outs = []
    for _ in range(4):
        outs.append(health.open_until - now)
        now = health.open_until
        assert health.admits(now)
        health.begin().done(FAILURE, now)
    assert outs == [5.0, 10.0, 15.0, 20.0]


def test_earlier_ejections_are_forgotten_after_a_minute_of_health() -> None:
    for healthy, out in [(30.0, 10.0), (61.0, 5.0)]:
        health = breaker()
        fail(health, 5, 0.0)
        assert health.admits(5.0)
        health.begin().done(SUCCESS, 5.0)
        fail(health, 5, 5.0 + healthy)
        assert health.open_until - (5.0 + healthy) == out


def test_the_time_out_never_exceeds_the_longest_jitter_included() -> None:
    settings = Breaking(base=5.0, longest=12.0, jitter=0.2)
    for seed in range(50):
        health = ReplicaHealth(settings, random.Random(seed))
        now = 0.0
        fail(health, 5, now)
        for _ in range(6):
            assert health.open_until - now <= settings.longest + 1e-9
            now = health.open_until
            assert health.admits(now)
            health.begin().done(FAILURE, now)


def test_jitter_spreads_the_time_out_by_a_fifth() -> None:
    outs = []
    for seed in range(200):
        health = ReplicaHealth(Breaking(), random.Random(seed))
        fail(health, 5, 0.0)
        outs.append(health.open_until)
    assert 4.0 <= min(outs) < 4.2
    assert 5.8 < max(outs) <= 6.0


@pytest.mark.parametrize("verdict", [IGNORED, SHED])
def test_a_probing_request_that_says_nothing_lets_the_next_one_probe(verdict: Verdict) -> None:
    health = breaker()
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    health.begin().done(verdict, 6.0)
    assert health.state is HALF_OPEN
    assert health.admits(6.0)


def test_late_success_of_an_old_generation_does_not_close_the_breaker() -> None:
    health = breaker()
    old = health.begin()
    fail(health, 5, 0.0)
    old.done(SUCCESS, 1.0)
    assert health.state is OPEN
    assert health.admits(5.0)
    health.begin()
    old.done(SUCCESS, 5.0)
    assert health.state is HALF_OPEN


def test_late_failure_of_an_old_generation_does_not_open_it_again() -> None:
    health = breaker()
    old = [health.begin() for _ in range(20)]
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    health.begin().done(SUCCESS, 5.0)
    for permit in old:
        permit.done(FAILURE, 5.0)
    assert health.state is CLOSED


def test_done_counts_once() -> None:
    health = breaker()
    permit = health.begin()
    for _ in range(10):
        permit.done(FAILURE, 0.0)
    assert health.state is CLOSED


def test_it_stays_closed_where_its_peers_could_not_carry_the_load() -> None:
    health = breaker(may_open=False)
    fail(health, 50, 0.0)
    assert health.state is CLOSED


def test_a_refused_connection_opens_it_at_once_without_asking_and_until_it_is_back() -> None:
    health = breaker(may_open=False)
    health.refuse("no connection")
    assert (health.state, health.reachable, health.why) == (OPEN, False, "no connection")
    assert not health.admits(1e12)
    health.reach(50.0)
    assert (health.state, health.reachable) == (HALF_OPEN, True)
    assert health.admits(50.0)


def test_a_connection_that_comes_back_does_not_shorten_an_ejection_by_failures() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    health.reach(1.0)
    assert health.state is OPEN
    assert not health.admits(4.9)


def test_a_refusal_during_the_probing_request_outlives_its_answer() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    probe = health.begin()
    health.refuse("gone")
    probe.done(SUCCESS, 6.0)
    assert health.state is OPEN
    assert not health.admits(1e9)


def test_a_last_resort_that_fails_while_refused_does_not_make_it_admissible() -> None:
    health = breaker()
    health.refuse("gone")
    health.begin().done(FAILURE, 1.0)
    assert not health.admits(1e9)
    health.begin().done(SUCCESS, 2.0)  # it answered after all
    assert (health.state, health.reachable) == (CLOSED, True)


def test_a_last_resort_heals_like_a_probing_request() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    health.begin().done(SUCCESS, 1.0)
    assert health.state is CLOSED


def test_last_resorts_that_fail_do_not_make_the_time_out_longer() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    fail(health, 100, 1.0)
    assert (health.state, health.open_until) == (OPEN, 5.0)


def test_a_last_resort_that_is_cancelled_does_not_let_a_second_probing_request_in() -> None:
    health = breaker()
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    probe, resort = health.begin(), health.begin()
    assert (probe.probe, resort.probe) == (True, False)
    resort.done(IGNORED, 5.0)
    assert not health.admits(5.0)
    probe.done(FAILURE, 5.0)
    assert health.state is OPEN


def test_whoever_caches_is_told_of_every_change() -> None:
    told: list[BreakerState] = []
    health = ReplicaHealth(EXACT, random.Random(1), changed=lambda: told.append(health.state))
    fail(health, 5, 0.0)
    assert health.admits(5.0)
    permit = health.begin()
    permit.done(SUCCESS, 5.0)
    health.refuse("gone")
    health.refuse("still gone")
    health.reach(6.0)
    assert told == [OPEN, HALF_OPEN, HALF_OPEN, CLOSED, OPEN, HALF_OPEN]
