"""What a policy makes of the choice of a replica, and what a new one leaves as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Verdict
from inferloom.mesh.errors import Exhausted, ReplicaError
from inferloom.mesh.policy import Balancing, Breaking, Locality, Retrying, TrafficPolicy
from inferloom.mesh.resilience.health import BreakerState
from tests.unit.mesh.fakes import OK, FakeMesh, after, call, replica

GONE = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
STICKY = TrafficPolicy(affinity="user")
NEAR = TrafficPolicy(locality=Locality.PREFER)
FAILS_ONCE = TrafficPolicy(health=Breaking(consecutive=1, rate_requests=1000))
USERS = [f"user-{number}" for number in range(60)]


def chosen(mesh: FakeMesh, user: str = "", tried: Any = (), **changes: Any) -> str:
    metadata = (("other", "x"), ("user", user)) if user else ()
    return mesh.group.choose(call(mesh.clock, metadata=metadata, **changes), mesh.clock.now(), tried).replica.id


def break_(mesh: FakeMesh, key: str) -> None:
    for _ in range(10):
        mesh.endpoint(key).health.begin().done(Verdict.FAILURE, mesh.clock.now())


def mesh_of(*keys: str, policy: TrafficPolicy = STICKY, **more: Any) -> FakeMesh:
    return FakeMesh([replica(key) for key in keys], policy=policy, **more)


class TestAffinity:
    def test_the_same_value_finds_the_same_replica_and_values_are_spread(self) -> None:
        mesh = mesh_of("a", "b", "c")
        first = {user: chosen(mesh, user) for user in USERS}
        assert set(first.values()) == {"a", "b", "c"}
        assert {user: chosen(mesh, user) for user in USERS} == first

    def test_values_are_compared_as_bytes_or_text_alike(self) -> None:
        mesh = mesh_of("a", "b", "c", policy=TrafficPolicy(affinity="user-bin"))
        for user in USERS:
            places = [
                mesh.group.choose(call(mesh.clock, metadata=(("user-bin", value),)), 0.0).replica.id
                for value in (user, user.encode())
            ]
            assert len(set(places)) == 1

    def test_without_a_value_the_load_decides(self) -> None:
        mesh = mesh_of("a", "b", "c")
        assert {chosen(mesh) for _ in range(60)} == {"a", "b", "c"}

    def test_a_retry_goes_to_another_replica_the_same_one_each_time(self) -> None:
        mesh = mesh_of("a", "b", "c")
        for user in USERS:
            first = chosen(mesh, user)
            second = {chosen(mesh, user, (mesh.endpoint(first),)) for _ in range(5)}
            assert len(second) == 1
            assert first not in second

    def test_only_those_of_a_replica_that_is_out_move_and_the_one_that_returns_probes_with_its_own(self) -> None:
        mesh = mesh_of("a", "b", "c")
        before = {user: chosen(mesh, user) for user in USERS}
        break_(mesh, "a")
        during = {user: chosen(mesh, user) for user in USERS}
        assert all(during[user] == place for user, place in before.items() if place != "a")
        assert "a" not in during.values()
        now = mesh.endpoint("a").health.open_until
        owner = next(user for user, place in before.items() if place == "a")
        other = next(user for user, place in before.items() if place == "b")
        for user, place in ((other, "b"), (owner, "a")):
            assert mesh.group.choose(call(mesh.clock, metadata=(("user", user),)), now).replica.id == place

    def test_a_sequence_comes_before_the_policys_key(self) -> None:
        mesh = mesh_of("a", "b", "c")
        places = {chosen(mesh, user, affinity=b"sequence 7") for user in USERS}
        assert len(places) == 1


class TestLocality:
    def here(self, **more: Any) -> FakeMesh:
        replicas = [replica("a", locality="eu/one"), replica("b", locality="eu/one"), replica("c", locality="eu/two")]
        return FakeMesh(replicas, policy=NEAR, zone="eu/one", **more)

    def test_those_of_the_own_zone_come_first(self) -> None:
        mesh = self.here()
        assert {chosen(mesh) for _ in range(40)} == {"a", "b"}

    def test_the_others_take_over_when_none_of_them_may_be_used(self) -> None:
        mesh = self.here()
        for key in "ab":
            mesh.endpoint(key).health.refuse("gone")
        assert {chosen(mesh) for _ in range(10)} == {"c"}

    def test_a_retry_that_has_tried_all_of_the_zone_leaves_it(self) -> None:
        mesh = self.here()
        tried = (mesh.endpoint("a"), mesh.endpoint("b"))
        assert {chosen(mesh, tried=tried) for _ in range(10)} == {"c"}

    def test_a_version_that_the_zone_does_not_serve_is_fetched_from_another(self) -> None:
        mesh = FakeMesh(
            [replica("a", locality="one"), replica("c", locality="two", versions=("2",))], policy=NEAR, zone="one"
        )
        assert {chosen(mesh, version="2") for _ in range(10)} == {"c"}

    def test_where_the_own_zone_is_not_known_or_not_asked_for_all_are_used(self) -> None:
        mesh = FakeMesh([replica("a", locality="one"), replica("b", locality="two")], policy=NEAR)
        assert {chosen(mesh) for _ in range(40)} == {"a", "b"}
        mesh = self.here()
        mesh.repolicy(TrafficPolicy())
        assert {chosen(mesh) for _ in range(40)} == {"a", "b", "c"}

    def test_affinity_keeps_to_the_zone(self) -> None:
        mesh = self.here()
        mesh.repolicy(TrafficPolicy(locality=Locality.PREFER, affinity="user"))
        assert {chosen(mesh, user) for user in USERS} == {"a", "b"}


class TestConcurrency:
    async def test_one_request_too_many_is_shed_and_the_next_one_after_an_answer_is_not(self) -> None:
        mesh = mesh_of("a", "b", policy=TrafficPolicy(concurrency=2))
        for key in "ab":
            mesh.channel(key).answer = after(mesh.clock, 0.3)

        async def three() -> list[Any]:
            calls = [mesh.handle(call(mesh.clock)) for _ in range(3)]
            return await asyncio.gather(*calls, return_exceptions=True)

        answers = await mesh.run(three())
        assert answers[:2] == [OK, OK]
        shed = answers[2]
        assert isinstance(shed, Exhausted)
        assert (shed.reason, shed.pushback) == ("shed", 0.05)
        assert str(shed) == "2 requests of 'iris' are in flight, as many as its policy allows (concurrency)"
        assert await mesh.ask() == OK
        assert mesh.at_rest()

    async def test_a_retry_that_finds_no_room_ends_with_the_first_error(self) -> None:
        mesh = mesh_of("a", policy=TrafficPolicy(concurrency=1))

        async def taken(sent: Any) -> Any:
            mesh.endpoint("a").load.begin()  # somebody else comes meanwhile
            raise GONE

        mesh.channel("a").answer = taken
        with pytest.raises(ReplicaError, match="Socket closed"):
            await mesh.ask()
        assert mesh.sent("a") == 1

    async def test_whoever_only_asks_what_the_model_takes_is_not_counted_out(self) -> None:
        mesh = mesh_of("a", policy=TrafficPolicy(concurrency=1))
        mesh.endpoint("a").load.begin()
        asking = call(mesh.clock)._replace(method="/inference.GRPCInferenceService/ModelMetadata")
        assert await mesh.handle(asking) == OK
        with pytest.raises(Exhausted):
            await mesh.ask()

    def test_a_bound_holds_from_the_moment_the_document_says_it(self) -> None:
        mesh = mesh_of("a", policy=TrafficPolicy())
        mesh.endpoint("a").load.begin()
        assert chosen(mesh) == "a"
        mesh.repolicy(TrafficPolicy(concurrency=1))
        with pytest.raises(Exhausted):
            chosen(mesh)
        mesh.repolicy(TrafficPolicy(concurrency=2))
        assert chosen(mesh) == "a"


class TestAnotherPolicy:
    def test_breakers_loads_and_what_was_spent_stay(self) -> None:
        mesh = mesh_of("a", "b", policy=TrafficPolicy())
        break_(mesh, "a")
        mesh.endpoint("b").load.begin()
        for _ in range(30):
            assert mesh.group.budget.spend(mesh.clock.now())
        group, endpoint = mesh.group, mesh.endpoint("a")
        mesh.repolicy(TrafficPolicy(timeout=2.0, retry=Retrying(attempts=2), slow_start=0.0))
        assert mesh.group is group
        assert mesh.endpoint("a") is endpoint
        assert endpoint.health.state is BreakerState.OPEN
        assert mesh.endpoint("b").load.in_flight == 1
        assert mesh.group.budget.tokens == 70
        assert (group.policy.timeout, endpoint.load.slow_start) == (2.0, 0.0)

    def test_health_triggers_hold_for_replicas_that_are_there_and_those_that_come(self) -> None:
        mesh = mesh_of("a", "b", "c", policy=TrafficPolicy())
        mesh.repolicy(FAILS_ONCE)
        mesh.apply(*(replica(key) for key in "abcd"))
        for key in "ad":
            mesh.endpoint(key).health.begin().done(Verdict.FAILURE, mesh.clock.now())
            assert mesh.endpoint(key).health.state is BreakerState.OPEN

    def test_balancing_changes_with_the_document_and_back(self) -> None:
        mesh = mesh_of("a", "b", "c", policy=TrafficPolicy(balancing=Balancing.ROUND_ROBIN, slow_start=0.0))
        assert [chosen(mesh) for _ in range(6)] == ["a", "b", "c"] * 2
        mesh.repolicy(TrafficPolicy())
        assert [chosen(mesh) for _ in range(9)] != ["a", "b", "c"] * 3

    def test_the_policy_of_a_model_that_is_not_there_is_nothing_to_take_over(self) -> None:
        mesh = mesh_of("a")
        mesh.pool.repolicy(["digits"])
        assert list(mesh.pool.groups) == ["iris"]
