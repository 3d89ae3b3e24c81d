"""Deadlines and cancellation, down to the model."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from inferloom.mesh.call import Call
from inferloom.mesh.errors import DeadlineExceeded
from inferloom.mesh.oip import MODEL_INFER
from inferloom.mesh.policy import TrafficPolicy
from tests.support.caller import slow_request, stub
from tests.support.load import outcome_of
from tests.support.router import Server, running_mesh, running_server

Pair = tuple[Server, Server]
LAG = 0.15  # seconds a cancellation may take to reach a model on a busy machine


async def until_logged(server: Server, what: str, key: int, timeout: float = 3.0) -> None:
    end = time.monotonic() + timeout
    while key not in server.log().keys(what):
        assert time.monotonic() < end, f"{what} {key} is not in {server.log()}"
        await asyncio.sleep(0.01)


async def test_a_deadline_of_300_ms_is_kept_and_the_model_sees_the_cancellation(pair: Pair) -> None:
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face:
        began = time.monotonic()
        code, _ = await outcome_of(face.ModelInfer(slow_request(1.0, 300), timeout=0.3))
        took = time.monotonic() - began
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.28 < took < 0.4
        await until_logged(pair[0], "ran", 300)
        await until_logged(pair[0], "cancelled", 300)
        stopped = pair[0].log().when("cancelled")[-1]
        assert stopped - began < 0.3 + LAG
        assert mesh.metric("inferloom_replica_in_flight") == 0
        assert mesh.metric("inferloom_in_flight_requests") == 0
        assert mesh.metric("inferloom_retries_total") == 0


async def test_without_a_deadline_the_policys_timeout_holds(pair: Pair) -> None:
    async with (
        running_mesh({"one": pair[0]}, policy=lambda _: TrafficPolicy(timeout=0.4)) as mesh,
        stub(mesh.address) as face,
    ):
        began = time.monotonic()
        code, _ = await outcome_of(face.ModelInfer(slow_request(1.0, 400)))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.35 < time.monotonic() - began < 0.55
        await until_logged(pair[0], "cancelled", 400)


async def test_a_caller_cannot_ask_for_more_than_the_longest_timeout(pair: Pair) -> None:
    policy = TrafficPolicy(timeout=0.2, longest=0.3)
    async with running_mesh({"one": pair[0]}, policy=lambda _: policy) as mesh, stub(mesh.address) as face:
        began = time.monotonic()
        code, _ = await outcome_of(face.ModelInfer(slow_request(1.0, 500), timeout=60))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert 0.25 < time.monotonic() - began < 0.45


async def test_a_deadline_that_has_passed_starts_no_work(pair: Pair) -> None:
    payload = slow_request(0.0, 600).SerializeToString()
    async with running_mesh({"one": pair[0]}) as mesh:
        call = Call("slow", "", MODEL_INFER.path, payload, (), mesh.router.clock.now())
        with pytest.raises(DeadlineExceeded, match="the deadline passed before 'slow' could be asked"):
            await mesh.router(call)
        await asyncio.sleep(0.1)
    assert 600 not in pair[0].log().keys("ran")


async def test_a_callers_cancellation_reaches_the_model_within_moments(pair: Pair) -> None:
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face:
        call = face.ModelInfer(slow_request(2.0, 700))
        waiting = asyncio.ensure_future(outcome(call))
        await until_logged(pair[0], "ran", 700)
        cancelled_at = time.monotonic()
        call.cancel()
        assert await waiting == "cancelled"
        await until_logged(pair[0], "cancelled", 700)
        assert pair[0].log().when("cancelled")[-1] - cancelled_at < LAG


async def outcome(call: Any) -> str:
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    return "answered"


async def test_of_calls_that_are_cancelled_under_load_none_runs_after_its_cancellation(tmp_path: Path) -> None:
    rng = random.Random(1)
    cancelled: dict[int, float] = {}  # key -> when
    with running_server(tmp_path, ["slow"]) as server:
        async with running_mesh({"one": server}) as mesh, stub(mesh.address) as face:

            async def caller(first: int) -> None:
                for key in range(first, first + 20):
                    call = face.ModelInfer(slow_request(0.05, key), timeout=20)
                    waiting = asyncio.ensure_future(outcome(call))
                    if rng.random() < 0.1:
                        await asyncio.wait({waiting}, timeout=rng.uniform(0, 0.25))
                        if call.cancel():
                            cancelled[key] = time.monotonic()
                    assert await waiting == ("cancelled" if key in cancelled else "answered")

            await asyncio.gather(*(caller(1000 * number) for number in range(1, 33)))
            await asyncio.sleep(0.3)
            assert mesh.metric("inferloom_replica_in_flight") == 0
            assert mesh.metric("inferloom_in_flight_requests") == 0
            assert mesh.metric("inferloom_in_flight_bytes") == 0
            duration = "inferloom_request_duration_seconds_count"
            # Some were cancelled before they left the caller, others when their answer was on its way.
            assert 640 - len(cancelled) <= mesh.metric(duration, code="OK") <= 640 - len(cancelled) + 6
            assert len(cancelled) - 6 <= mesh.metric(duration, code="CANCELLED") <= len(cancelled)
            assert str(mesh.endpoint("slow", "one").health.state) == "closed"
        lines = server.log().lines
    assert 40 < len(cancelled) < 90
    late = [
        (int(key), float(at) - cancelled[int(key)])
        for what, key, at in lines
        if what == "ran" and int(key) in cancelled and float(at) > cancelled[int(key)] + LAG
    ]
    assert not late, "(key, seconds after its cancellation) that ran nevertheless"
    ran = {int(key) for what, key, _ in lines if what == "ran"}
    assert len(cancelled.keys() - ran) > len(cancelled) / 3, "most were cancelled while they waited, and never ran"
