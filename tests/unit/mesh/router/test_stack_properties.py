"""Whatever replicas do, callers get an answer or an error of ours, and everything that was taken is given back."""

from __future__ import annotations

import asyncio
import random

from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.call import Reply
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import InferloomError, ReplicaError
from inferloom.mesh.policy import Breaking, Retrying, TrafficPolicy
from inferloom.mesh.router.transport import Lost
from tests.unit.mesh.fakes import Answer, FakeMesh, Sent, after, call, replica

OUTCOMES: list[Reply | BaseException] = [
    Reply(b"ok"),
    ReplicaError(StatusCode.UNAVAILABLE, "Socket closed"),
    ReplicaError(StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
    ReplicaError(StatusCode.UNAVAILABLE, "Request timeout expired"),
    ReplicaError(StatusCode.INTERNAL, "cuda"),
    ReplicaError(StatusCode.INVALID_ARGUMENT, "shape"),
    ReplicaError(StatusCode.RESOURCE_EXHAUSTED, "busy", (("grpc-retry-pushback-ms", "20"),)),
    Lost("failed to connect to all addresses", sent=False),
    Lost("given up", sent=True),
]


def moody(clock: ManualClock, rng: random.Random) -> Answer:
    async def answer(sent: Sent) -> Reply:
        return await after(clock, rng.choice([0.0, 0.001, 0.05, 0.3, 5.0]), rng.choice(OUTCOMES))(sent)

    return answer


@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 4),
    calls=st.lists(
        st.tuples(
            st.sampled_from([0.02, 0.2, 1.0]),  # deadline
            st.sampled_from([None, None, b"7"]),  # affinity
            st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.1, 0.19])),  # the caller goes away
        ),
        min_size=1,
        max_size=25,
    ),
    policy=st.builds(
        TrafficPolicy,
        idempotent=st.booleans(),
        attempt_timeout=st.sampled_from([None, 0.1]),
        retry=st.builds(Retrying, attempts=st.integers(1, 4)),
        health=st.builds(Breaking, consecutive=st.integers(1, 5), base=st.sampled_from([0.05, 5.0])),
    ),
)
@settings(max_examples=60, deadline=None)
def test_permits_requests_in_flight_and_bytes_return_to_zero(
    seed: int,
    replicas: int,
    calls: list[tuple[float, bytes | None, float | None]],
    policy: TrafficPolicy,
) -> None:
    asyncio.run(_storm(seed, replicas, calls, policy))


async def _storm(
    seed: int, replicas: int, calls: list[tuple[float, bytes | None, float | None]], policy: TrafficPolicy
) -> None:
    rng = random.Random(seed)
    mesh = FakeMesh([replica(str(number)) for number in range(replicas)], policy=policy, seed=seed)
    for number in range(replicas):
        mesh.channel(str(number)).answer = moody(mesh.clock, rng)
    tasks: list[asyncio.Task[Reply]] = []

    async def leave(task: asyncio.Task[Reply], seconds: float) -> None:
        await mesh.clock.sleep(seconds)
        task.cancel()

    leaving = []
    for seconds, affinity, gone in calls:
        tasks.append(asyncio.create_task(mesh.handle(call(mesh.clock, seconds, affinity=affinity))))
        if gone is not None:
            leaving.append(asyncio.create_task(leave(tasks[-1], gone)))
        if rng.random() < 0.3:
            await mesh.clock.advance(0.01)
        if rng.random() < 0.2:  # a connection comes back
            for endpoint in mesh.group.endpoints.values():
                endpoint.health.reach(mesh.clock.now())
    await mesh.clock.advance(3.0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*leaving)
    for result, (_, _, gone) in zip(results, calls, strict=True):
        assert isinstance(result, Reply | InferloomError) or (
            isinstance(result, asyncio.CancelledError) and gone is not None
        ), result
    assert mesh.at_rest()
    attempts = sum(mesh.sent(str(number)) for number in range(replicas))
    assert attempts <= len(calls) * policy.retry.attempts
    assert attempts <= len(calls) + mesh.metrics.retries
