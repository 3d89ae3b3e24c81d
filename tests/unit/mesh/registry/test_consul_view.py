from __future__ import annotations

import base64
import logging
from dataclasses import replace

import pytest

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.parse import Entry, Status
from inferloom.mesh.registry.consul.view import View
from inferloom.mesh.registry.record import encode

KEYS = Keys()
A, B = Replica("iris", "a", "h", 1), Replica("iris", "b", "h", 2)


def entry(replica: Replica, modified: int = 1) -> Entry:
    value = base64.b64encode(encode(replica)).decode()
    return Entry(KEYS.record(replica.model, replica.id), modified, value)


def check(replica: Replica, passing: bool) -> Status:
    return Status(KEYS.instance(replica.model, replica.id), passing)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def view(clock: ManualClock) -> View:
    view = View(KEYS, clock, keep=60.0)
    view.records([entry(A, 5), entry(B, 6)], continuous=False)
    return view


def test_a_replica_without_a_verdict_is_healthy(view: View) -> None:
    assert view.replicas() == [A, B]


def test_the_worst_check_of_an_instance_is_its_verdict(view: View) -> None:
    view.verdicts([check(A, True), check(A, False), check(A, True), check(B, True)])
    assert view.replicas() == [replace(A, healthy=False), B]


def test_a_verdict_that_came_before_its_record_counts(clock: ManualClock) -> None:
    view = View(KEYS, clock)
    view.verdicts([check(A, False)])
    view.records([entry(A)], continuous=True)
    assert view.replicas() == [replace(A, healthy=False)]


def test_a_record_that_has_not_changed_stays_the_same_object_through_an_outage_too(view: View) -> None:
    before = view.replicas()
    view.records([entry(A, 1), entry(B, 2)], continuous=False)
    assert all(one is other for one, other in zip(before, view.replicas(), strict=True))


def test_what_is_gone_from_a_continued_answer_was_taken_out(view: View) -> None:
    view.records([entry(B, 6)], continuous=True)
    assert view.replicas() == [B]
    assert view.expires is None


async def test_what_vanished_is_kept_for_a_minute(view: View, clock: ManualClock) -> None:
    view.records([], continuous=False)
    view.records([], continuous=True)
    assert view.replicas() == [A, B]
    assert view.expires == clock.now() + 60.0
    await clock.advance(59.9)
    assert view.replicas() == [A, B]
    await clock.advance(0.1)
    assert view.replicas() == []
    assert view.expires is None


async def test_what_vanished_and_came_back_stays(view: View, clock: ManualClock) -> None:
    view.records([], continuous=False)
    await clock.advance(10)
    view.records([entry(A, 3)], continuous=True)
    await clock.advance(60)
    assert view.replicas() == [A]


def test_what_came_back_with_its_old_index_and_another_value_is_read(view: View) -> None:
    view.records([], continuous=False)
    changed = replace(A, versions=("2",))
    view.records([entry(changed, 5)], continuous=True)
    assert changed in view.replicas()


def test_a_listed_record_is_read_again_after_an_outage_whatever_its_index(view: View) -> None:
    changed = replace(A, versions=("2",))
    view.records([entry(changed, 5), entry(B, 6)], continuous=False)
    assert view.replicas() == [changed, B]


def test_what_was_draining_is_not_kept_when_it_vanishes(view: View) -> None:
    view.records([entry(replace(A, state=State.DRAINING), 7), entry(B, 6)], continuous=True)
    view.records([], continuous=False)
    assert view.replicas() == [B]


def test_what_was_failing_is_not_kept_when_it_vanishes_even_though_its_check_vanished_first(view: View) -> None:
    view.verdicts([check(A, False), check(B, True)])
    view.verdicts([])
    view.records([], continuous=False)
    assert view.replicas() == [B]


def test_a_verdict_stays_until_another_is_stated(view: View) -> None:
    view.verdicts([check(A, False)])
    view.verdicts([])
    assert not view.replicas()[0].healthy
    view.verdicts([check(A, True)])
    assert view.replicas()[0].healthy


def test_a_replica_registered_anew_does_not_inherit_the_verdict_of_the_one_before(view: View) -> None:
    view.verdicts([check(A, False), check(B, True)])
    view.records([entry(B, 6)], continuous=True)
    view.verdicts([check(B, True)])
    view.records([entry(A, 9), entry(B, 6)], continuous=True)
    assert view.replicas()[-1].healthy


def test_a_record_that_is_not_understood_keeps_its_last_version_and_is_said_once(
    view: View, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    broken = Entry(entry(A).key, 8, base64.b64encode(b"{}").decode())
    other = Entry(KEYS.record("new", "a"), 9, "***")
    for _ in range(3):
        view.records([broken, entry(B, 6), other], continuous=True)
    assert view.replicas() == [A, B]
    assert len(caplog.records) == 2
    view.records([entry(replace(A, weight=2.0), 10), entry(B, 6), other], continuous=True)
    assert view.replicas() == [replace(A, weight=2.0), B]


def test_a_record_under_another_replicas_key_is_not_understood(view: View) -> None:
    view.records([entry(A, 5), Entry(KEYS.record("iris", "b"), 7, entry(A).value)], continuous=True)
    assert view.replicas() == [A, B]


async def test_a_seed_serves_until_its_time_is_over(clock: ManualClock) -> None:
    view = View(KEYS, clock, keep=60.0)
    view.seed([A, replace(B, healthy=False)])
    assert view.replicas() == [A, replace(B, healthy=False)]
    view.records([], continuous=False)
    assert view.replicas() == [A]
    await clock.advance(60)
    assert view.replicas() == []
