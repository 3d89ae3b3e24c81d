"""What a failure of users' code looks like from outside."""

from __future__ import annotations

import pytest
import structlog
from grpc import StatusCode

from inferloom.mesh.errors import Exhausted, InvalidInput, NoReplica, ReplicaError, status_of
from inferloom.services.host.fault import from_outside, inside, stack_text, summary
from inferloom.services.host.gate import Gate

MARK = ("x-inferloom-inner", "1")


def test_a_users_exception_is_its_type_and_first_line() -> None:
    assert summary(ValueError("no\nsecond")) == "ValueError: no"
    assert summary(KeyError()) == "KeyError"
    assert len(summary(ValueError("x" * 9000))) == 500


def test_an_exception_that_cannot_be_shown_is_still_named() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert summary(Odd()) == "Odd: (its message cannot be shown: RuntimeError)"


def test_it_becomes_unknown_and_its_stack_goes_to_the_log_with_the_request_id() -> None:
    with structlog.testing.capture_logs() as logs:
        error = from_outside(ValueError("no"), "Shop", "", (("x-request-id", "r1"),))

    assert (status_of(error).code, str(error)) == (StatusCode.UNKNOWN, "ValueError: no")
    assert (logs[0]["service"], logs[0]["request"]) == ("Shop", "r1")
    assert "ValueError: no" in logs[0]["stack"]


def test_an_error_of_ours_passes_as_it_is() -> None:
    error = InvalidInput("no input 'x'")
    assert from_outside(error, "Shop", "") is error


def test_the_stack_begins_with_the_users_own_frames_and_shows_no_values() -> None:
    secret = "hunter" + "2"
    try:
        assert secret == "x"
    except AssertionError as error:
        text = stack_text(error)
    assert 'assert secret == "x"' in text
    assert "inferloom/services" not in text


def test_an_inner_call_that_was_turned_away_is_marked_and_tells_when_to_ask_again() -> None:
    shed = inside(Exhausted("full", reason="shed", pushback=0.1))
    assert (status_of(shed).code, status_of(shed).trailing) == (
        StatusCode.RESOURCE_EXHAUSTED,
        (("x-inferloom-reason", "shed"), ("grpc-retry-pushback-ms", "100"), MARK),
    )
    told = inside(
        ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "full", (("grpc-retry-pushback-ms", "5"), ("x-own", "1")))
    )
    assert (str(told), status_of(told).trailing) == ("full", (("grpc-retry-pushback-ms", "5"), MARK))
    assert status_of(inside(told)).trailing == status_of(told).trailing  # through two services: once
    assert status_of(inside(ReplicaError(StatusCode.INTERNAL, "x", (("x-own", "1"),)))).trailing == ()
    away = NoReplica("none")
    assert inside(away) is away


async def test_a_gate_lets_no_more_in_than_it_may_and_tells_when_it_is_idle() -> None:
    gate = Gate("Shop", 1)
    with gate:
        assert gate.ongoing == 1
        with pytest.raises(Exhausted, match="max_ongoing") as refused, gate:
            raise AssertionError
        assert (refused.value.reason, refused.value.pushback) == ("shed", 0.05)
    await gate.idle()
    assert gate.ongoing == 0


async def test_a_gate_without_a_bound_takes_all() -> None:
    gate = Gate("Shop")
    with gate, gate, gate:
        assert gate.ongoing == 3
