"""Replicas that are killed, frozen, refuse connections, or come back: callers notice nothing while one is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from inferloom.mesh.catalog import State
from inferloom.mesh.policy import TrafficPolicy
from tests.support.caller import slow_request, stub
from tests.support.load import Load, outcome_of
from tests.support.router import Mesh, Server, running_mesh, running_servers

Two = tuple[Server, Server]
DEFAULT = TrafficPolicy()


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with running_servers(tmp_path_factory.mktemp("hurt"), 2, ["slow"]) as (one, two):
        yield one, two


@pytest.fixture
def two(hurt: Two) -> Two:
    """Tritons to be hurt: whole again for each test."""
    for server in hurt:
        server.heal()
    return hurt


@pytest.fixture(autouse=True)
def nothing_is_left(two: Two, nothing_is_left: None) -> None:
    """Looks once the Tritons are whole."""


@asynccontextmanager
async def loaded(
    two: Two, *, seconds: float = 1.0, timeout: float = 10.0, callers: int = 8, policy: TrafficPolicy = DEFAULT
) -> AsyncIterator[tuple[Mesh, Load]]:
    """A router before both, under constant load of the slow model."""
    servers = {"one": two[0], "two": two[1]}
    async with running_mesh(servers, policy=lambda _: policy) as mesh, stub(mesh.address) as face:

        async def send(number: int) -> Any:
            return await face.ModelInfer(slow_request(seconds, number), timeout=timeout)

        async with Load(send, callers) as load:
            await load.until(lambda: all(in_flight(mesh, name) > 0 for name in ("one", "two")))
            yield mesh, load


def in_flight(mesh: Mesh, name: str) -> int:
    return int(mesh.metric("inferloom_replica_in_flight", model="slow", replica=name))


def state(mesh: Mesh, name: str) -> str:
    return str(mesh.endpoint("slow", name).health.state)


async def test_a_replica_killed_with_calls_in_flight_costs_no_call(two: Two) -> None:
    async with loaded(two) as (mesh, load):
        await asyncio.sleep(1.0)
        assert in_flight(mesh, "one") > 0
        two[0].kill()
        out = await load.until(lambda: state(mesh, "one") == "open", 3.0)
        answered = load.answered
        await load.until(lambda: load.answered > answered + 8)
        assert mesh.metric("inferloom_retries_total", model="slow") > 0
    assert out < 1.0
    assert not load.failures, load.failures[:3]
    assert load.answered == load.sent
    assert not mesh.metric("inferloom_replica_in_flight")
    assert sorted(set(range(load.sent))) == sorted({*two[0].log().keys("ran"), *two[1].log().keys("ran")})


async def test_a_replica_frozen_and_reported_so_costs_no_call(two: Two) -> None:
    """Its sidecar takes it out of routing; what it had in flight is given up and tried elsewhere."""
    async with loaded(two) as (mesh, load):
        two[0].freeze()
        await asyncio.sleep(1.0)
        stuck = in_flight(mesh, "one")
        assert stuck > 0
        await mesh.say("one", state=State.STARTING, problem="it does not answer its probes")
        await load.until(lambda: in_flight(mesh, "one") == 0, 1.0)
        answered = load.answered
        await load.until(lambda: load.answered > answered + 16)
        assert in_flight(mesh, "one") == 0
        two[0].thaw()
        await mesh.say("one", state=State.SERVING, problem="")
        back = await load.until(lambda: in_flight(mesh, "one") > 0)
        retries = mesh.metric("inferloom_retries_total")
    assert back < 3.0
    assert not load.failures, load.failures[:3]
    assert retries >= stuck


async def test_a_frozen_replica_nobody_reports_fails_few_calls_and_is_out_at_their_deadline(two: Two) -> None:
    """No sidecar speaks for it. Calls of 2 s to it end by their deadline; peak EWMA and the breaker then avoid it."""
    async with loaded(two, seconds=0.02, timeout=1.0, callers=16) as (mesh, load):
        answered = load.answered
        await load.until(lambda: load.answered > answered + 40)
        two[0].freeze()
        frozen_at = load.seconds
        out = await load.until(lambda: state(mesh, "one") == "open", 3.0)
        assert out < 1.5, "as soon as five calls have met their deadline"
        await asyncio.sleep(1.0)
        assert load.codes().keys() <= {"DEADLINE_EXCEEDED"}
        assert len(load.failures) <= 16, "at most what one round of callers had sent"
        assert all(failure.at < frozen_at + 1.0 for failure in load.failures)
        assert load.answered > answered + 200
        two[0].thaw()
        await load.until(lambda: state(mesh, "one") == "closed", 12.0)
        failed = len(load.failures)
        assert failed <= 18, "and a probing request or two"


async def test_with_a_timeout_for_each_attempt_a_frozen_replica_nobody_reports_costs_no_call(two: Two) -> None:
    policy = TrafficPolicy(attempt_timeout=0.5)
    async with loaded(two, seconds=0.02, timeout=3.0, policy=policy) as (mesh, load):
        answered = load.answered
        await load.until(lambda: load.answered > answered + 40)
        two[0].freeze()
        answered = load.answered
        await load.until(lambda: load.answered > answered + 100)
        retries = mesh.metric("inferloom_retries_total")
    assert not load.failures, load.failures[:3]
    assert 0 < retries <= 12


async def test_a_replica_that_refuses_connections_gets_no_requests_while_another_answers(two: Two) -> None:
    two[0].kill()
    async with running_mesh({"one": two[0], "two": two[1]}) as mesh, stub(mesh.address) as face:
        await asyncio.sleep(0.3)
        assert state(mesh, "one") == "open"
        await asyncio.gather(*(face.ModelInfer(slow_request(0.0, n), timeout=5) for n in range(40)))
        assert mesh.metric("inferloom_attempt_failures_total") == 0
        assert mesh.metric("inferloom_retries_total") == 0
        assert mesh.endpoint("slow", "one").load.requests == 0


async def test_with_both_dead_the_error_names_both_and_why_and_they_serve_again_within_3_s(two: Two) -> None:
    async with running_mesh({"one": two[0], "two": two[1]}) as mesh, stub(mesh.address) as face:
        assert await face.ModelInfer(slow_request(0.0, 0), timeout=5)
        for server in two:
            server.kill()
        await asyncio.sleep(0.5)
        code, message = await outcome_of(face.ModelInfer(slow_request(0.0, 1), timeout=5))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert message == (
            "no replica of 'slow' can be used; 2 registered: "
            f"one open (no connection to {two[0].address}); two open (no connection to {two[1].address})"
        )
        for server in two:
            server.stop()
        await asyncio.to_thread(two[1].start)
        began = time.monotonic()
        while (await outcome_of(face.ModelInfer(slow_request(0.0, 2), timeout=5)))[0] is not grpc.StatusCode.OK:
            assert time.monotonic() - began < 3.0
            await asyncio.sleep(0.02)
    two[1].stop()


async def test_a_draining_replica_gets_no_new_requests_and_ends_what_it_has(two: Two) -> None:
    async with loaded(two, seconds=0.5) as (mesh, load):
        await mesh.say("one", state=State.DRAINING)
        await load.until(lambda: in_flight(mesh, "one") == 0, 3.0)
        ran = len(two[0].log().keys("ran"))
        answered = load.answered
        await load.until(lambda: load.answered > answered + 8)
        assert len(two[0].log().keys("ran")) == ran
        retries = mesh.metric("inferloom_retries_total")
    assert not load.failures
    assert retries == 0


async def test_a_replica_that_leaves_the_registry_ends_what_it_has(two: Two) -> None:
    async with loaded(two, seconds=0.5) as (mesh, load):
        await mesh.registrations["slow", "one"].deregister()
        answered = load.answered
        await load.until(lambda: load.answered > answered + 16)
        retries = mesh.metric("inferloom_retries_total")
    assert not load.failures
    assert retries == 0


async def test_a_replica_that_is_back_at_another_address_is_used_at_once(two: Two) -> None:
    async with running_mesh({"one": two[0]}) as mesh, stub(mesh.address) as face:
        await face.ModelInfer(slow_request(0.0, 0), timeout=5)
        two[0].kill()
        await mesh.say("one", state=State.STARTING, problem="restarting", versions=())
        code, message = await outcome_of(face.ModelInfer(slow_request(0.0, 1), timeout=5))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "one starting (restarting)" in message
        await mesh.say("one", state=State.SERVING, problem="", versions=("1",), port=two[1].port, generation=2)
        await face.ModelInfer(slow_request(0.0, 2), timeout=5)
        assert two[1].log().keys("ran") == [2]


async def test_a_call_that_is_not_idempotent_is_not_repeated_once_it_was_sent(two: Two) -> None:
    policy = TrafficPolicy(idempotent=False)
    async with (
        running_mesh({"one": two[0]}, policy=lambda _: policy) as mesh,
        stub(mesh.address) as face,
    ):
        call = asyncio.ensure_future(outcome_of(face.ModelInfer(slow_request(1.0, 1), timeout=5)))
        while not two[0].log().keys("ran"):
            await asyncio.sleep(0.01)
        await mesh.join("two", two[1])
        two[0].kill()
        code, _ = await call
        assert code is grpc.StatusCode.UNAVAILABLE
        assert two[1].log().keys("ran") == []
        code, message = await outcome_of(face.ModelInfer(slow_request(0.0, 2), timeout=5))
        assert code is grpc.StatusCode.OK, message
