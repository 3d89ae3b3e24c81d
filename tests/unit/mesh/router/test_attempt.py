"""One attempt at one replica: what it sends, what it makes of the end, and that it gives back what it took."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply, Verdict
from inferloom.mesh.errors import DeadlineExceeded, Exhausted, InferloomError, ReplicaError
from inferloom.mesh.oip import METHODS, SERVICE, pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.attempt import Attempt, attempt_once, margin
from inferloom.mesh.router.transport import Lost
from tests.unit.mesh.fakes import REQUEST, Answer, FakeMesh, Sent, after, call, fails, replica

SHED = ReplicaError(StatusCode.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size")
EXPIRED = ReplicaError(StatusCode.UNAVAILABLE, "[request id: 1] Request timeout expired")


async def attempt(
    mesh: FakeMesh, answer: Answer | None = None, seconds: float = 1.0, policy: TrafficPolicy | None = None, **kw: Any
) -> Reply | Attempt:
    if answer is not None:
        mesh.channel("a").answer = answer
    endpoint = mesh.endpoint("a")
    one = call(mesh.clock, seconds, **kw)
    return await mesh.run(attempt_once(endpoint, one, policy or TrafficPolicy(), mesh.clock, one.metadata))


async def failed(mesh: FakeMesh, answer: Answer, seconds: float = 1.0, policy: TrafficPolicy | None = None) -> Attempt:
    result = await attempt(mesh, answer, seconds, policy)
    assert isinstance(result, Attempt)
    assert mesh.at_rest()
    return result


async def test_a_reply_passes_as_it_came_and_heals() -> None:
    mesh = FakeMesh([replica()])
    reply = Reply(b"\x01", (("i", "1"),), (("t-bin", b"\x00"),))
    assert await attempt(mesh, after(mesh.clock, 0.25, reply)) is reply
    load = mesh.endpoint("a").load
    assert (load.in_flight, load.requests, load.failures) == (0, 1, 0)
    assert load.seconds == pytest.approx(0.25)


async def test_the_replica_gets_the_payload_the_metadata_and_a_little_less_than_the_time_left() -> None:
    mesh = FakeMesh([replica(versions=())])
    await attempt(mesh, metadata=(("k", "v"),))
    (sent,) = mesh.channel("a").sent
    assert sent.payload is REQUEST
    assert sent.metadata == (("k", "v"),)
    assert sent.timeout == pytest.approx(1.0 - 0.010)


@pytest.mark.parametrize(("remaining", "kept"), [(10.0, 0.010), (0.2, 0.010), (0.1, 0.005), (0.0, 0.0)])
def test_the_margin_is_ten_milliseconds_or_a_twentieth(remaining: float, kept: float) -> None:
    assert margin(remaining) == pytest.approx(kept)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_work_is_started_after_the_deadline(seconds: float) -> None:
    mesh = FakeMesh([replica()])
    with pytest.raises(DeadlineExceeded, match="before 'iris' could be asked"):
        await attempt(mesh, seconds=seconds)
    assert not mesh.sent("a")
    assert mesh.at_rest()


class TestDefaultVersion:
    async def version_sent(self, versions: tuple[str, ...], asked: str = "", method: str = "ModelInfer") -> str:
        mesh = FakeMesh([replica(versions=versions)])
        message: Any = pb.ModelInferRequest(model_name="iris", model_version=asked)
        if method != "ModelInfer":
            message = pb.ModelMetadataRequest(name="iris", version=asked)
        payload = bytes(message.SerializeToString())
        await attempt(mesh, version=asked, payload=payload, method=METHODS[f"/{SERVICE}/{method}"].path)
        sent = mesh.channel("a").sent[0].payload
        if not versions or asked:
            assert sent is payload
        parsed: Any = type(message).FromString(sent)
        return str(parsed.model_version if method == "ModelInfer" else parsed.version)

    async def test_of_several_the_oldest_is_asked_where_none_is_named(self) -> None:
        assert await self.version_sent(("1", "2")) == "1"
        assert await self.version_sent(("2", "10"), method="ModelMetadata") == "2"

    async def test_a_single_version_is_named_too_for_a_newer_one_answers_from_the_moment_it_is_loaded(self) -> None:
        assert await self.version_sent(("2",)) == "2"

    async def test_unknown_versions_leave_the_payload_alone(self) -> None:
        assert await self.version_sent(()) == ""

    async def test_a_named_version_is_respected(self) -> None:
        assert await self.version_sent(("1", "2"), "2") == "2"


async def test_a_refused_connection_takes_the_replica_out_at_once() -> None:
    mesh = FakeMesh([replica()])
    result = await failed(mesh, fails(Lost("failed to connect to all addresses", sent=False)))
    assert (result.verdict, result.sent) == (Verdict.RETRYABLE, False)
    health = mesh.endpoint("a").health
    assert (health.state, health.reachable) == (BreakerState.OPEN, False)


async def test_a_broken_connection_counts_against_it_and_may_have_begun() -> None:
    mesh = FakeMesh([replica()])
    result = await failed(mesh, fails(Lost("given up", sent=True)))
    assert (result.verdict, result.sent, result.error.code) == (Verdict.RETRYABLE, True, StatusCode.UNAVAILABLE)
    assert mesh.endpoint("a").load.failures == 1
    assert mesh.endpoint("a").health.state is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("error", "verdict", "failures"),
    [
        (ReplicaError(StatusCode.INVALID_ARGUMENT, "shape"), Verdict.SUCCESS, 0),
        (ReplicaError(StatusCode.INTERNAL, "cuda"), Verdict.FAILURE, 1),
        (ReplicaError(StatusCode.UNAVAILABLE, "Socket closed"), Verdict.RETRYABLE, 1),
        (ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "message too large"), Verdict.IGNORED, 0),
        (ReplicaError(StatusCode.CANCELLED, "cancelled"), Verdict.IGNORED, 0),
    ],
)
async def test_the_replicas_own_error_is_kept_and_judged(error: ReplicaError, verdict: Verdict, failures: int) -> None:
    mesh = FakeMesh([replica()])
    result = await failed(mesh, fails(error))
    assert result.error is error
    assert result.verdict is verdict
    assert mesh.endpoint("a").load.failures == failures


async def test_tritons_full_queue_is_shed_load_and_does_not_count_against_it() -> None:
    mesh = FakeMesh([replica()])
    result = await failed(mesh, fails(SHED))
    assert isinstance(result.error, Exhausted)
    assert (result.error.reason, result.pushback, result.verdict) == ("shed", 0.05, Verdict.SHED)
    assert mesh.endpoint("a").load.failures == 0


@pytest.mark.parametrize("at", [0.01, 0.95])
async def test_tritons_expired_request_is_an_exceeded_deadline_and_does_not_count_against_it(at: float) -> None:
    mesh = FakeMesh([replica()])
    result = await failed(mesh, after(mesh.clock, at, EXPIRED))
    assert isinstance(result.error, DeadlineExceeded)
    assert result.verdict is Verdict.IGNORED
    assert mesh.endpoint("a").load.failures == 0


@pytest.mark.parametrize(
    ("value", "pushback"), [("250", 0.25), ("-1", -0.001), ("soon", -1.0), ("1.5", 0.0015)], ids=str
)
async def test_a_pushback_makes_it_shed_load(value: str, pushback: float) -> None:
    mesh = FakeMesh([replica()])
    error = ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "busy", (("grpc-retry-pushback-ms", value),))
    result = await failed(mesh, fails(error))
    assert result.verdict is Verdict.SHED
    assert result.pushback == pytest.approx(pushback)


class TestLate:
    """A caller that goes away says nothing about the replica, unless it has waited for nearly all of the time."""

    async def cancelled_after(self, mesh: FakeMesh, waited: float, deadline: float = 1.0) -> None:
        mesh.channel("a").answer = after(mesh.clock, 100.0)
        one = call(mesh.clock, deadline)
        task = asyncio.create_task(attempt_once(mesh.endpoint("a"), one, TrafficPolicy(), mesh.clock, ()))
        await mesh.clock.advance(waited)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert mesh.at_rest()

    async def test_an_early_cancellation_is_ignored(self) -> None:
        mesh = FakeMesh([replica()])
        await self.cancelled_after(mesh, 0.85)
        assert mesh.endpoint("a").load.failures == 0

    async def test_a_late_one_counts(self) -> None:
        mesh = FakeMesh([replica()])
        await self.cancelled_after(mesh, 0.9)
        assert mesh.endpoint("a").load.failures == 1

    async def test_callers_with_tiny_deadlines_do_not_eject_a_slow_model(self) -> None:
        mesh = FakeMesh([replica("a"), replica("b")])
        await attempt(mesh, after(mesh.clock, 0.4))
        for _ in range(20):
            await self.cancelled_after(mesh, 0.09, deadline=0.1)
        assert mesh.endpoint("a").load.failures == 0
        assert mesh.endpoint("a").health.state is BreakerState.CLOSED

    async def test_a_frozen_replica_is_ejected_by_late_cancellations_alone(self) -> None:
        mesh = FakeMesh([replica("a"), replica("b")])
        for _ in range(20):
            await attempt(mesh, after(mesh.clock, 0.1))
        for number in range(5):
            assert mesh.endpoint("a").health.state is BreakerState.CLOSED, f"after {number}"
            await self.cancelled_after(mesh, 0.98)
        assert mesh.endpoint("a").health.state is BreakerState.OPEN

    async def test_its_own_time_out_counts_and_is_not_repeated(self) -> None:
        mesh = FakeMesh([replica()])
        result = await failed(mesh, after(mesh.clock, 100.0))
        assert result.error.code is StatusCode.DEADLINE_EXCEEDED
        assert result.verdict is Verdict.FAILURE

    async def test_the_time_out_of_one_try_gives_the_replica_up_so_that_another_is_tried(self) -> None:
        mesh = FakeMesh([replica()])
        result = await failed(mesh, after(mesh.clock, 100.0), seconds=10.0, policy=TrafficPolicy(attempt_timeout=0.5))
        assert result.error.code is StatusCode.DEADLINE_EXCEEDED
        assert result.verdict is Verdict.RETRYABLE
        assert mesh.endpoint("a").load.failures == 1


async def test_an_unexpected_exception_passes_and_gives_everything_back() -> None:
    async def answer(sent: Sent) -> Reply:
        raise ZeroDivisionError

    mesh = FakeMesh([replica()])
    with pytest.raises(ZeroDivisionError):
        await attempt(mesh, answer)
    assert mesh.at_rest()
    assert mesh.endpoint("a").load.failures == 0


def test_errors_of_an_attempt_are_the_callers_to_see() -> None:
    assert issubclass(Lost, InferloomError)
    assert Lost("x", sent=True).code is StatusCode.UNAVAILABLE


@pytest.mark.parametrize(("idempotent", "verdict"), [(False, Verdict.IGNORED), (True, Verdict.SHED)])
async def test_a_service_that_passes_on_a_shed_had_begun_and_is_asked_elsewhere_only_where_it_may_be_repeated(
    idempotent: bool, verdict: Verdict
) -> None:
    mesh = FakeMesh([replica()])
    trailing = (("grpc-retry-pushback-ms", "5"), ("x-inferloom-inner", "1"))
    error = ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "full", trailing)
    result = await failed(mesh, fails(error), policy=TrafficPolicy(idempotent=idempotent))
    assert (result.error, result.verdict, result.pushback) == (error, verdict, 0.005)
    assert mesh.endpoint("a").health.state is BreakerState.CLOSED
