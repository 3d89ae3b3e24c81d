"""The stack over fake channels: which replica is asked, how often, and what the caller sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.errors import Exhausted, ModelNotFound, NoReplica, ReplicaError
from inferloom.mesh.policy import Retrying, TrafficPolicy
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.transport import Lost
from tests.unit.mesh.fakes import FakeMesh, Sent, after, call, fails, ok, replica

A, B, C = replica("a"), replica("b"), replica("c")
GONE = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
REFUSED = Lost("failed to connect to all addresses", sent=False)


async def test_a_call_is_answered_by_a_replica() -> None:
    mesh = FakeMesh([A, B])
    assert (await mesh.ask()).payload == b"ok"
    assert mesh.sent("a") + mesh.sent("b") == 1
    assert mesh.at_rest()


async def test_an_unavailable_replica_is_not_asked_twice_while_another_is_there() -> None:
    for seed in range(10):
        mesh = FakeMesh([A, B], {"a": fails(GONE)}, seed=seed)
        assert (await mesh.ask()).payload == b"ok"
        assert mesh.sent("a") <= 1
        assert mesh.sent("b") == 1
        assert mesh.metrics.retries == mesh.sent("a")


async def test_the_first_retry_goes_out_at_once_and_the_second_backs_off() -> None:
    mesh = FakeMesh([A, B, C], {key: fails(GONE) for key in "abc"})
    began = mesh.clock.now()
    times: list[float] = []

    async def answer(sent: Sent) -> Reply:
        times.append(mesh.clock.now() - began)
        raise GONE

    for key in "abc":
        mesh.channel(key).answer = answer
    with pytest.raises(ReplicaError):
        await mesh.ask()
    assert times[:2] == [0.0, 0.0]
    assert times[2] == pytest.approx(0.025, rel=0.21)
    assert {mesh.sent(key) for key in "abc"} == {1}


async def test_when_all_attempts_fail_the_caller_sees_the_last_replicas_own_error() -> None:
    errors = {key: ReplicaError(StatusCode.UNAVAILABLE, f"{key} says no", (("k", key),)) for key in "abc"}
    mesh = FakeMesh([A, B, C], {key: fails(error) for key, error in errors.items()})
    with pytest.raises(ReplicaError) as raised:
        await mesh.ask()
    assert raised.value in errors.values()
    assert sum(mesh.sent(key) for key in "abc") == 3
    assert mesh.at_rest()


async def test_a_replica_that_refuses_is_not_asked_by_later_calls_until_it_is_back() -> None:
    mesh = FakeMesh([A, B], {"a": fails(REFUSED)})
    for _ in range(20):
        await mesh.ask()
    assert mesh.sent("a") == 1
    mesh.channel("a").answer = ok
    for reachable in mesh.channel("a").on_reachable:
        reachable()
    await mesh.ask()
    assert mesh.sent("a") == 2
    assert mesh.endpoint("a").health.state is BreakerState.CLOSED


@pytest.mark.parametrize(
    "error",
    [ReplicaError(StatusCode.INVALID_ARGUMENT, "shape"), ReplicaError(StatusCode.INTERNAL, "cuda")],
    ids=["the caller's fault", "the replica's fault"],
)
async def test_an_answer_that_is_an_error_is_not_repeated(error: ReplicaError) -> None:
    mesh = FakeMesh([A, B], {"a": fails(error), "b": fails(error)})
    with pytest.raises(ReplicaError) as raised:
        await mesh.ask()
    assert raised.value is error
    assert mesh.sent("a") + mesh.sent("b") == 1


class TestEffects:
    """A model that changes something outside is not asked again once it may have begun."""

    policy = TrafficPolicy(idempotent=False)

    async def test_a_broken_connection_is_not_repeated(self) -> None:
        mesh = FakeMesh([A, B], {"a": fails(GONE), "b": fails(GONE)}, self.policy)
        with pytest.raises(ReplicaError):
            await mesh.ask()
        assert mesh.sent("a") + mesh.sent("b") == 1

    async def test_a_connection_that_was_never_made_is(self) -> None:
        mesh = FakeMesh([A, B], {"a": fails(REFUSED)}, self.policy)
        for _ in range(5):
            assert (await mesh.ask()).payload == b"ok"


class TestAffinity:
    async def test_calls_of_one_sequence_go_to_one_replica(self) -> None:
        mesh = FakeMesh([A, B, C])
        for _ in range(10):
            await mesh.ask(affinity=b"7")
        assert sorted(mesh.sent(key) for key in "abc") == [0, 0, 10]

    async def test_a_broken_one_is_not_repeated_elsewhere(self) -> None:
        mesh = FakeMesh([A, B], {key: fails(GONE) for key in "ab"})
        with pytest.raises(ReplicaError):
            await mesh.ask(affinity=b"7")
        assert mesh.sent("a") + mesh.sent("b") == 1

    async def test_one_that_was_never_sent_is(self) -> None:
        mesh = FakeMesh([A, B], {"a": fails(REFUSED)})
        for number in range(8):
            assert (await mesh.ask(affinity=str(number).encode())).payload == b"ok"
        assert mesh.sent("a") == 1

    async def test_a_model_with_no_other_traffic_gets_an_ejected_replica_back(self) -> None:
        mesh = FakeMesh([A, B])
        keys = [str(number).encode() for number in range(20)]
        for key in keys:
            await mesh.ask(affinity=key)
        mine = mesh.sent("a")
        assert 0 < mine < 20
        mesh.endpoint("a").health.refuse("gone")
        mesh.endpoint("a").health.reach(mesh.clock.now())
        for key in keys:
            await mesh.ask(affinity=key)
        assert mesh.sent("a") == 2 * mine
        assert mesh.endpoint("a").health.state is BreakerState.CLOSED


class TestPushback:
    def answers(self, milliseconds: str) -> dict[str, Any]:
        error = ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "busy", (("grpc-retry-pushback-ms", milliseconds),))
        return {"a": fails(error), "b": fails(error)}

    async def test_it_is_waited_for(self) -> None:
        mesh = FakeMesh([A, B], self.answers("300"), TrafficPolicy(retry=Retrying(attempts=2)))
        began = mesh.clock.now()
        with pytest.raises(ReplicaError, match="busy"):
            await mesh.ask()
        assert mesh.clock.now() - began >= 0.3
        assert mesh.sent("a") + mesh.sent("b") == 2

    @pytest.mark.parametrize("value", ["-1", "soon", "5000"], ids=["negative", "no number", "beyond the deadline"])
    async def test_without_room_for_it_there_is_no_retry(self, value: str) -> None:
        mesh = FakeMesh([A, B], self.answers(value))
        tokens = mesh.group.budget.tokens
        with pytest.raises(ReplicaError, match="busy"):
            await mesh.ask(seconds=2.0)
        assert mesh.sent("a") + mesh.sent("b") == 1
        assert mesh.group.budget.tokens == tokens

    async def test_a_full_queue_of_one_replica_is_tried_at_another(self) -> None:
        full = fails(ReplicaError(StatusCode.UNAVAILABLE, "Exceeds maximum queue size"))
        for seed in range(6):
            mesh = FakeMesh([A, B], {"a": full}, seed=seed)
            assert (await mesh.ask()).payload == b"ok"
            assert mesh.endpoint("a").health.state is BreakerState.CLOSED


async def test_an_empty_budget_ends_the_retries() -> None:
    policy = TrafficPolicy(retry=Retrying(budget_floor=0.1, budget_ratio=0.0))
    mesh = FakeMesh([A, B, C], {key: fails(GONE) for key in "abc"}, policy)
    for _ in range(3):
        with pytest.raises(ReplicaError):
            await mesh.ask()
    assert sum(mesh.sent(key) for key in "abc") == 4  # three calls and the one retry there was


async def test_each_call_earns_a_share_of_a_retry() -> None:
    policy = TrafficPolicy(retry=Retrying(budget_floor=0.1, budget_ratio=0.25))
    mesh = FakeMesh([A], policy=policy)
    while mesh.group.budget.spend(mesh.clock.now()):
        pass
    before = mesh.group.budget.tokens
    for _ in range(3):
        await mesh.ask()
    assert mesh.group.budget.tokens == pytest.approx(before + 0.75)


async def test_a_deadline_that_leaves_no_time_ends_the_retries_with_the_replicas_error() -> None:
    mesh = FakeMesh([A, B, C])
    for key in "abc":
        mesh.channel(key).answer = after(mesh.clock, 0.5, GONE)
    with pytest.raises(ReplicaError, match="Socket closed"):
        await mesh.ask(seconds=1.015)  # two attempts; the backoff before the third does not fit
    assert sum(mesh.sent(key) for key in "abc") == 2


async def test_the_time_out_of_one_try_leaves_time_for_another_replica() -> None:
    for seed in range(6):
        mesh = FakeMesh([A, B], policy=TrafficPolicy(attempt_timeout=0.2), seed=seed)
        mesh.channel("a").answer = after(mesh.clock, 100.0)
        assert (await mesh.ask()).payload == b"ok"


async def test_a_lone_replica_is_tried_again_and_its_answer_counts() -> None:
    answers = [GONE, None]

    async def answer(sent: Sent) -> Reply:
        if (error := answers.pop(0)) is not None:
            raise error
        return Reply(b"second")

    mesh = FakeMesh([A], {"a": answer})
    assert (await mesh.ask()).payload == b"second"


async def test_when_the_last_replica_goes_during_a_call_its_own_error_is_seen() -> None:
    mesh = FakeMesh([A], {"a": fails(REFUSED)})
    with pytest.raises(Lost, match="failed to connect"):
        await mesh.ask()
    with pytest.raises(NoReplica, match="1 registered: a open"):
        await mesh.ask()
    assert mesh.sent("a") == 1


async def test_an_unknown_model_is_not_found_with_near_names() -> None:
    mesh = FakeMesh([A])
    with pytest.raises(ModelNotFound, match="'irsi' not found; did you mean iris"):
        await mesh.ask(model="irsi")
    assert mesh.at_rest()


async def test_cancellation_passes_through_and_leaves_nothing_behind() -> None:
    mesh = FakeMesh([A])
    mesh.channel("a").answer = after(mesh.clock, 100.0)
    task = asyncio.create_task(mesh.handle(call(mesh.clock)))
    await mesh.clock.advance(0.1)
    assert mesh.admission.requests == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mesh.at_rest()
    assert mesh.endpoint("a").load.failures == 0


async def test_cancellation_during_the_backoff_passes_through() -> None:
    mesh = FakeMesh([A], {"a": fails(GONE)}, TrafficPolicy(retry=Retrying(backoff=0.5)))
    task = asyncio.create_task(mesh.handle(call(mesh.clock)))
    await mesh.clock.advance(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mesh.at_rest()


class TestAdmission:
    async def test_bytes_in_flight_are_bounded_and_given_back(self) -> None:
        mesh = FakeMesh([A], most=100)
        mesh.channel("a").answer = after(mesh.clock, 0.5)
        first = asyncio.create_task(mesh.handle(call(mesh.clock, payload=bytes(60))))
        await mesh.clock.advance(0.1)
        with pytest.raises(Exhausted, match=r"120 bytes in flight would exceed .* 100") as raised:
            await mesh.handle(call(mesh.clock, payload=bytes(60)))
        assert (raised.value.reason, raised.value.pushback) == ("shed", 0.1)
        second = asyncio.create_task(mesh.handle(call(mesh.clock, payload=bytes(40))))
        await mesh.clock.advance(0.6)
        assert (await first).payload == (await second).payload == b"ok"
        assert mesh.at_rest()

    async def test_a_message_that_never_fits_is_too_large_rather_than_shed(self) -> None:
        mesh = FakeMesh([A], most=100)
        with pytest.raises(Exhausted) as raised:
            await mesh.handle(call(mesh.clock, payload=bytes(101)))
        assert (raised.value.reason, raised.value.pushback) == ("size", None)


async def test_versions_that_are_nowhere_are_not_found_and_those_of_a_starting_replica_are_unavailable() -> None:
    from inferloom.mesh.catalog import State

    mesh = FakeMesh([A, replica("b", versions=("1", "2"))])
    assert (await mesh.ask(version="2")).payload == b"ok"
    assert mesh.sent("b") == 1
    with pytest.raises(ModelNotFound, match="iris:9"):
        await mesh.ask(version="9")
    mesh.apply(A, replica("b", versions=("1", "2"), state=State.STARTING))
    with pytest.raises(NoReplica, match="b starting"):
        await mesh.ask(version="2")
