from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.call import Verdict
from inferloom.mesh.catalog import State
from inferloom.mesh.errors import ModelNotFound, NoReplica
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.endpoint import Endpoint
from tests.unit.mesh.fakes import FakeMesh, call, replica


def break_(endpoint: Endpoint, now: float) -> None:
    for _ in range(10):
        endpoint.health.begin().done(Verdict.FAILURE, now)


def choices(mesh: FakeMesh, count: int = 60, **changes: Any) -> set[str]:
    one = call(mesh.clock, **changes)
    return {mesh.group.choose(one, mesh.clock.now()).replica.id for _ in range(count)}


@pytest.mark.parametrize(("count", "may_go"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3), (8, 4)])
def test_at_least_half_and_one_always_stay(count: int, may_go: int) -> None:
    mesh = FakeMesh([replica(str(number)) for number in range(count)])
    for endpoint in mesh.group.endpoints.values():
        break_(endpoint, mesh.clock.now())
    states = [endpoint.health.state for endpoint in mesh.group.endpoints.values()]
    assert states.count(BreakerState.OPEN) == may_go
    assert states.count(BreakerState.CLOSED) >= max(1, count - may_go)


def test_a_replica_that_refuses_connections_is_not_one_of_those_that_stay() -> None:
    mesh = FakeMesh([replica(key) for key in "abc"])
    mesh.endpoint("a").health.refuse("gone")
    break_(mesh.endpoint("b"), mesh.clock.now())
    break_(mesh.endpoint("c"), mesh.clock.now())
    states = [mesh.endpoint(key).health.state for key in "bc"]
    assert states == [BreakerState.OPEN, BreakerState.CLOSED]


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["break", "refuse", "reach", "probe"])), max_size=40))
@settings(max_examples=60, deadline=None)
def test_failures_never_leave_fewer_than_half_of_the_reachable_closed(events: list[tuple[int, str]]) -> None:
    mesh = FakeMesh([replica(str(number)) for number in range(8)])
    now = mesh.clock.now()
    for number, event in events:
        endpoint = mesh.endpoint(str(number))
        before = endpoint.health.state
        if event == "break" and before is BreakerState.CLOSED:
            break_(endpoint, now)
            reachable = [e for e in mesh.group.endpoints.values() if e.health.reachable]
            closed = [e for e in reachable if e.health.state is BreakerState.CLOSED]
            if endpoint.health.state is BreakerState.OPEN:
                assert 2 * len(closed) >= len(reachable)
                assert closed
        elif event == "refuse":
            endpoint.health.refuse("gone")
        elif event == "reach":
            endpoint.health.reach(now)
        elif event == "probe" and endpoint.health.admits(now):
            endpoint.health.begin().done(Verdict.SUCCESS, now)


def test_a_half_open_replica_gets_the_next_first_attempt_and_only_one() -> None:
    mesh = FakeMesh([replica(key) for key in "abc"])
    break_(mesh.endpoint("b"), mesh.clock.now())
    now = mesh.endpoint("b").health.open_until
    chosen = mesh.group.choose(call(mesh.clock), now)
    assert chosen.replica.id == "b"
    permit = chosen.health.begin()
    assert "b" not in {mesh.group.choose(call(mesh.clock), now).replica.id for _ in range(60)}
    permit.done(Verdict.SUCCESS, now)
    assert {mesh.group.choose(call(mesh.clock), now).replica.id for _ in range(60)} == {"a", "b", "c"}


def test_a_retry_is_never_a_probing_request_while_a_closed_replica_is_left() -> None:
    mesh = FakeMesh([replica(key) for key in "abc"])
    break_(mesh.endpoint("b"), mesh.clock.now())
    now = mesh.endpoint("b").health.open_until
    tried = (mesh.endpoint("a"),)
    assert {mesh.group.choose(call(mesh.clock), now, tried).replica.id for _ in range(20)} == {"c"}


def test_tried_replicas_are_avoided_and_used_again_where_there_is_no_other() -> None:
    mesh = FakeMesh([replica(key) for key in "ab"])
    a, b = mesh.endpoint("a"), mesh.endpoint("b")
    one, now = call(mesh.clock), mesh.clock.now()
    assert {mesh.group.choose(one, now, (a,)) for _ in range(20)} == {b}
    assert {mesh.group.choose(one, now, (a, b)) for _ in range(40)} == {a, b}


@pytest.mark.parametrize(
    "changes",
    [{"state": State.DRAINING}, {"state": State.STARTING}, {"healthy": False}],
    ids=["draining", "starting", "unhealthy"],
)
async def test_a_replica_that_may_not_be_used_is_never_chosen_not_even_as_a_last_resort(
    changes: dict[str, object],
) -> None:
    mesh = FakeMesh([replica("a", **changes), replica("b")])
    assert choices(mesh) == {"b"}
    mesh.apply(replica("a", **changes))
    with pytest.raises(NoReplica):
        choices(mesh)


def test_an_open_replica_is_asked_again_when_its_time_is_over_without_anybody_waking_the_group() -> None:
    mesh = FakeMesh([replica("a"), replica("b")])
    break_(mesh.endpoint("a"), mesh.clock.now())
    assert choices(mesh) == {"b"}
    assert mesh.group.choose(call(mesh.clock), mesh.clock.now() + 10).replica.id == "a"


async def test_replicas_that_failures_took_out_are_better_than_no_answer() -> None:
    mesh = FakeMesh([replica("a"), replica("b"), replica("c")])
    break_(mesh.endpoint("a"), mesh.clock.now())
    mesh.apply(replica("a"), replica("b", state=State.DRAINING), replica("c", state=State.DRAINING))
    assert choices(mesh) == {"a"}


def test_replicas_that_refuse_connections_are_not() -> None:
    mesh = FakeMesh([replica("a"), replica("b")])
    mesh.endpoint("a").health.refuse("no connection to 10.0.0.1:1")
    mesh.endpoint("b").health.refuse("no connection to 10.0.0.1:2")
    with pytest.raises(NoReplica):
        choices(mesh)


def test_no_replica_says_how_many_there_are_and_why_each_is_out() -> None:
    mesh = FakeMesh(
        [
            replica("a", state=State.STARTING, problem="out of memory"),
            replica("b", state=State.DRAINING),
            replica("c", healthy=False),
            replica("d"),
        ]
    )
    mesh.endpoint("d").health.refuse("no connection to 10.0.0.1:8100")
    with pytest.raises(NoReplica) as raised:
        choices(mesh)
    assert str(raised.value) == (
        "no replica of 'iris' can be used; 4 registered: a starting (out of memory); b draining; "
        "c its health check fails; d open (no connection to 10.0.0.1:8100)"
    )


def test_the_reason_of_an_ejected_replica_has_the_time_left() -> None:
    mesh = FakeMesh([replica("a"), replica("b")])
    break_(mesh.endpoint("a"), mesh.clock.now())
    why = mesh.endpoint("a").why_out(mesh.clock.now())
    assert why.startswith("open (5 failures in a row, ")
    assert why.endswith(" s left)")
    assert mesh.endpoint("b").why_out(mesh.clock.now()) == ""


class TestVersions:
    def test_only_replicas_that_have_it_are_asked(self) -> None:
        mesh = FakeMesh([replica("a", versions=("1",)), replica("b", versions=("1", "2"))])
        assert choices(mesh, version="2") == {"b"}
        assert choices(mesh, version="1") == {"a", "b"}

    def test_one_that_nobody_has_is_not_found_and_names_those_there_are(self) -> None:
        mesh = FakeMesh([replica("a", versions=("1", "2"))])
        with pytest.raises(ModelNotFound, match="'iris:9' not found; did you mean iris with version 1, 2"):
            choices(mesh, version="9")

    async def test_a_replica_whose_versions_are_not_known_is_asked_even_as_a_last_resort(self) -> None:
        mesh = FakeMesh([replica("a", versions=()), replica("b", versions=())])
        break_(mesh.endpoint("a"), mesh.clock.now())
        mesh.apply(replica("a", versions=()))
        assert choices(mesh, version="9") == {"a"}

    def test_one_that_only_a_starting_replica_has_is_unavailable_rather_than_not_found(self) -> None:
        mesh = FakeMesh([replica("a"), replica("b", versions=("1", "2"), state=State.STARTING)])
        with pytest.raises(NoReplica, match="b starting"):
            choices(mesh, version="2")


def versions_on_replicas_of_their_own() -> FakeMesh:
    return FakeMesh([replica("old", versions=("1",)), replica("new", versions=("2",))])


def test_a_version_on_replicas_of_its_own_takes_no_unnamed_request() -> None:
    mesh = versions_on_replicas_of_their_own()
    assert choices(mesh) == {"old"}
    assert choices(mesh, version="2") == {"new"}


def test_a_new_version_does_not_inherit_the_traffic_of_an_old_one_that_fails() -> None:
    mesh = versions_on_replicas_of_their_own()
    mesh.endpoint("old").health.refuse("gone")
    with pytest.raises(NoReplica, match="old open"):
        choices(mesh)
    assert choices(mesh, version="2") == {"new"}


def test_the_next_version_answers_when_the_oldest_drains() -> None:
    mesh = FakeMesh([replica("old", versions=("1",), state=State.DRAINING), replica("new", versions=("2",))])
    assert choices(mesh) == {"new"}


def test_replicas_that_have_both_versions_are_all_asked() -> None:
    mesh = FakeMesh([replica("a", versions=("1",)), replica("b", versions=("1", "2"))])
    assert choices(mesh) == {"a", "b"}
