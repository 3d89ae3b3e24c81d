"""What a call inherits from the one that runs: its deadline and its metadata."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import DeadlineExceeded
from inferloom.services.caller import set_caller, the_caller, using
from inferloom.services.context import CallContext, current, inherited, remaining
from inferloom.services.declare.outside import LocalCaller


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    clock = ManualClock()
    token = current.set(CallContext(clock.now() + 2.0, (("traceparent", "00-1"), ("user", "u17"))))
    yield clock
    current.reset(token)


def test_no_call_lasts_longer_than_the_one_outside(clock: ManualClock) -> None:
    assert remaining(None, 30.0, clock) == 2.0
    assert remaining(5.0, 30.0, clock) == 2.0
    assert remaining(0.5, 30.0, clock) == 0.5


def test_nothing_is_begun_once_the_deadline_has_passed(clock: ManualClock) -> None:
    token = current.set(CallContext(clock.now()))
    with pytest.raises(DeadlineExceeded, match="no time was left of the running call's deadline"):
        remaining(None, 30.0, clock)
    current.reset(token)


def test_outside_of_a_call_the_default_holds() -> None:
    assert remaining(None, 30.0, ManualClock()) == 30.0
    assert remaining(50.0, 30.0, ManualClock()) == 50.0
    assert inherited(None) == ()


def test_metadata_is_passed_on_and_what_is_given_takes_its_place(clock: ManualClock) -> None:
    assert inherited(None) == (("traceparent", "00-1"), ("user", "u17"))
    assert inherited({"User": 18, "x-bin": b"\0"}) == (("traceparent", "00-1"), ("user", "18"), ("x-bin", b"\0"))


async def test_the_hosts_caller_is_asked_unless_there_is_one_of_this_context() -> None:
    outside = the_caller()
    assert isinstance(outside, LocalCaller)
    assert the_caller() is outside
    host, own = LocalCaller(), LocalCaller()
    set_caller(host)
    try:
        assert the_caller() is host
        with using(own):
            assert the_caller() is own
        assert the_caller() is host
    finally:
        set_caller(None)
