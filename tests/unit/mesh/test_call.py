from __future__ import annotations

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Outcome, Verdict, verdict

CASES = [
    (Outcome(StatusCode.OK, 1.0), Verdict.SUCCESS),
    (Outcome(StatusCode.INVALID_ARGUMENT, 1.0), Verdict.SUCCESS),
    (Outcome(StatusCode.NOT_FOUND, 1.0), Verdict.SUCCESS),
    (Outcome(StatusCode.UNIMPLEMENTED, 1.0), Verdict.SUCCESS),
    (Outcome(StatusCode.INTERNAL, 1.0), Verdict.FAILURE),
    (Outcome(StatusCode.UNKNOWN, 1.0), Verdict.FAILURE),
    (Outcome(StatusCode.DATA_LOSS, 1.0), Verdict.FAILURE),
    (Outcome(StatusCode.UNAVAILABLE, 1.0), Verdict.RETRYABLE),
    (Outcome(StatusCode.UNAVAILABLE, 1.0, lost=True), Verdict.RETRYABLE),
    (Outcome(None, 1.0, lost=True), Verdict.RETRYABLE),
    (Outcome(StatusCode.RESOURCE_EXHAUSTED, 1.0), Verdict.IGNORED),
    (Outcome(StatusCode.RESOURCE_EXHAUSTED, 1.0, shed=True), Verdict.SHED),
    (Outcome(StatusCode.DEADLINE_EXCEEDED, 1.0), Verdict.IGNORED),
    (Outcome(StatusCode.DEADLINE_EXCEEDED, 1.0, late=True), Verdict.FAILURE),
    (Outcome(StatusCode.CANCELLED, 1.0), Verdict.IGNORED),
    (Outcome(None, 1.0), Verdict.IGNORED),
    (Outcome(None, 1.0, late=True), Verdict.FAILURE),
]


@pytest.mark.parametrize(("outcome", "expected"), CASES, ids=[str(outcome) for outcome, _ in CASES])
def test_an_outcome_is_judged(outcome: Outcome, expected: Verdict) -> None:
    assert verdict(outcome) is expected


@pytest.mark.parametrize("code", [*StatusCode, None])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("shed", [False, True])
def test_every_code_has_a_verdict(code: StatusCode | None, late: bool, shed: bool) -> None:
    assert isinstance(verdict(Outcome(code, 0.0, late, False, shed)), Verdict)
