from __future__ import annotations

import random

import pytest

from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.policy import Retrying, TrafficPolicy
from inferloom.mesh.resilience.retry import backoff, may_retry

PLAIN = Call("iris", "", "/m", b"", (), 1.0)
STICKY = PLAIN._replace(affinity=b"7")
IDEMPOTENT, EFFECTS = TrafficPolicy(), TrafficPolicy(idempotent=False)


@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.FAILURE, Verdict.IGNORED])
@pytest.mark.parametrize("sent", [True, False])
def test_only_retryable_and_shed_attempts_are_repeated(verdict: Verdict, sent: bool) -> None:
    assert not may_retry(verdict, sent, PLAIN, IDEMPOTENT)


@pytest.mark.parametrize(
    ("verdict", "sent", "call", "policy", "expected"),
    [
        (Verdict.RETRYABLE, True, PLAIN, IDEMPOTENT, True),
        (Verdict.RETRYABLE, False, PLAIN, IDEMPOTENT, True),
        (Verdict.RETRYABLE, True, PLAIN, EFFECTS, False),
        (Verdict.RETRYABLE, False, PLAIN, EFFECTS, True),
        (Verdict.RETRYABLE, True, STICKY, IDEMPOTENT, False),
        (Verdict.RETRYABLE, False, STICKY, IDEMPOTENT, True),
        (Verdict.SHED, True, PLAIN, IDEMPOTENT, True),
        (Verdict.SHED, True, PLAIN, EFFECTS, True),
        (Verdict.SHED, True, STICKY, IDEMPOTENT, False),
    ],
    ids=[
        "idempotent",
        "idempotent and never sent",
        "with effects and perhaps begun",
        "with effects and never sent",
        "of a sequence and perhaps begun",
        "of a sequence and never sent",
        "turned away",
        "with effects, turned away",
        "of a sequence, turned away by its replica",
    ],
)
def test_whether_an_attempt_is_repeated(
    verdict: Verdict, sent: bool, call: Call, policy: TrafficPolicy, expected: bool
) -> None:
    assert may_retry(verdict, sent, call, policy) is expected


def test_the_first_retry_goes_at_once_and_the_others_back_off_doubling() -> None:
    settings = Retrying(jitter=0.0)
    waits = [backoff(settings, number, None, random.Random(1)) for number in range(1, 6)]
    assert waits == [0.0, 0.025, 0.05, 0.1, 0.2]


def test_jitter_spreads_the_backoff_by_a_fifth() -> None:
    rng = random.Random(2)
    waits = [backoff(Retrying(), 2, None, rng) or 0.0 for _ in range(300)]
    assert 0.020 <= min(waits) < 0.0203
    assert 0.0297 < max(waits) <= 0.030


@pytest.mark.parametrize(("pushback", "expected"), [(0.0, 0.0), (0.3, 0.3), (-1.0, None), (float("nan"), None)])
def test_a_servers_pushback_is_honoured_to_the_letter(pushback: float, expected: float | None) -> None:
    for number in (1, 2, 3):
        assert backoff(Retrying(), number, pushback, random.Random(1)) == expected
