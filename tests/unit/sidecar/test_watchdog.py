"""When a Triton is out, when it is hung, and how long to wait before it is started again."""

from __future__ import annotations

import random

import pytest

from inferloom.sidecar.watchdog import Backoff, Verdict, Watchdog


def test_it_is_out_after_three_missed_probes_in_a_row() -> None:
    dog = Watchdog(3, 30.0, 0.0)
    assert [dog.missing(t) for t in (1.0, 2.0)] == [Verdict.SUSPECT] * 2
    assert dog.answered(3.0) is Verdict.UP
    assert [dog.missing(t) for t in (4.0, 5.0, 6.0)] == [Verdict.SUSPECT, Verdict.SUSPECT, Verdict.OUT]
    assert dog.missed == 3


def test_it_is_hung_thirty_seconds_after_its_last_answer() -> None:
    dog = Watchdog(3, 30.0, 0.0)
    dog.answered(10.0)
    verdicts = [dog.missing(float(t)) for t in range(11, 41)]
    assert verdicts[2:29] == [Verdict.OUT] * 27
    assert verdicts[29] is Verdict.HUNG


def test_an_answer_of_a_frozen_one_brings_it_back() -> None:
    dog = Watchdog(1, 30.0, 0.0)
    assert dog.missing(29.0) is Verdict.OUT
    assert dog.answered(29.5) is Verdict.UP
    assert dog.missing(59.0) is Verdict.OUT


class Most(random.Random):
    """Always the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_double_up_to_the_most() -> None:
    backoff = Backoff(Most(), 1.0, 30.0)
    assert [backoff.next(5.0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_healthy_minute_starts_anew() -> None:
    backoff = Backoff(Most(), 1.0, 30.0)
    assert [backoff.next(t) for t in (0.0, 59.9, 60.0, 0.0)] == [1, 2, 1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_jitter_stays_between_half_of_the_step_and_all_of_it(seed: int) -> None:
    backoff = Backoff(random.Random(seed), 1.0, 30.0)
    for step in (1, 2, 4, 8, 16, 30, 30):
        assert step / 2 <= backoff.next(0.0) <= step


def test_no_number_of_failures_overflows() -> None:
    backoff = Backoff(Most(), 1.0, 30.0)
    assert [backoff.next(0.0) for _ in range(3000)][-1] == 30
