"""ModelStreamInfer through the router, nothing going wrong but messages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from inferloom.mesh.catalog import State
from inferloom.mesh.oip import pb
from inferloom.mesh.policy import TrafficPolicy
from tests.support.caller import EOF, Talk, echo_request, infer_request, read, slow_request, stub, token_request
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]


@pytest.fixture
async def mesh(pair: Pair) -> AsyncIterator[Mesh]:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh:
        yield mesh


@pytest.fixture
async def face(mesh: Mesh) -> AsyncIterator[Any]:
    async with stub(mesh.address) as face:
        yield face


async def answers(face: Any, *requests: Any) -> list[Any]:
    """What a stream of these messages gets, to its end."""
    return [answer async for answer in face.ModelStreamInfer(iter(requests), timeout=20)]


async def test_a_stream_gets_what_it_gets_from_triton(face: Any, pair: Pair) -> None:
    requests = [
        token_request(3, 0.01, "a"),
        echo_request([5], "versioned", request_id="b"),
        token_request(-1, 0.0, "c"),
    ]
    requests[1].model_version = "2"
    # Triton 2.51 itself crashes now and then where one stream carries a decoupled model and another one; the mesh gives each
    # model of a stream one of its own.
    async with stub(pair[0].address) as direct:
        expected = [*await answers(direct, requests[0], requests[2]), *await answers(direct, requests[1])]
    through = await answers(face, *requests)
    for answer in (*through, *expected):
        answer.infer_response.model_version = ""  # the router names one, and Triton repeats it in each answer

    def key(answer: Any) -> tuple[str, bytes]:
        return answer.infer_response.id, answer.SerializeToString()

    assert sorted(through, key=key) == sorted(expected, key=key)
    assert len(through) == 5


async def test_an_empty_final_response_comes_where_it_was_asked_for_and_nowhere_else(face: Any) -> None:
    asking, silent = token_request(2, 0.0, "asking"), token_request(2, 0.0, "silent")
    asking.parameters["triton_enable_empty_final_response"].bool_param = True
    refusing = token_request(2, 0.0, "refusing")
    refusing.parameters["triton_enable_empty_final_response"].bool_param = False
    got: dict[str, list[int]] = {}
    for answer in await answers(face, asking, silent, refusing):
        got.setdefault(answer.infer_response.id, []).append(len(answer.infer_response.outputs))
    assert got == {"asking": [1, 1, 0], "silent": [1, 1], "refusing": [1, 1]}


async def test_a_thousand_messages_are_answered_in_order(face: Any, mesh: Mesh) -> None:
    requests = [echo_request([float(number)], request_id=str(number)) for number in range(1000)]
    got = await answers(face, *requests)
    assert [answer.infer_response.id for answer in got] == [str(number) for number in range(1000)]
    assert [read(answer.infer_response)[0] for answer in got] == [float(number) for number in range(1000)]
    assert mesh.metric("inferloom_request_duration_seconds_count", model="echo", code="OK") == 1000
    assert mesh.metric("inferloom_replica_in_flight") == 0


async def test_models_interleaved_in_one_stream_are_each_pinned_to_one_replica(face: Any, pair: Pair) -> None:
    async def counts(model: str) -> list[int]:
        found = []
        for server in pair:
            async with stub(server.address) as direct:
                answer = await direct.ModelStatistics(pb.ModelStatisticsRequest(name=model))
                found.append(sum(row.inference_count for row in answer.model_stats))
        return found

    before = {model: await counts(model) for model in ("echo", "versioned")}
    requests = [
        echo_request([1], model, request_id=f"{model}{n}") for n in range(30) for model in ("echo", "versioned")
    ]
    got = await answers(face, *requests)
    assert {answer.infer_response.id for answer in got} == {request.id for request in requests}
    for model in ("echo", "versioned"):
        new = [after - first for first, after in zip(before[model], await counts(model), strict=True)]
        assert sorted(new) == [0, 30], model


async def test_an_unnamed_version_is_the_oldest_in_a_stream_too(face: Any) -> None:
    got = await answers(face, echo_request([1], "versioned", request_id="a"))
    assert [(answer.infer_response.model_version, read(answer.infer_response)) for answer in got] == [("1", [1.0])]


async def test_an_error_of_one_message_is_its_own_and_the_stream_lives(mesh: Mesh, face: Any) -> None:
    async with Talk(face) as talk:
        for request, words in (
            (token_request(-1, 0.0, "negative"), "count is negative"),
            (infer_request("echo", "shape", z=np.ones((1, 1), np.float32)), "unexpected inference input 'z'"),
            (echo_request(model="ecko", request_id="unknown"), "model 'ecko' not found; did you mean echo?"),
            (echo_request(model="a b", request_id="name"), "'a b' is no model name"),
            (pb.ModelInferRequest(id="nameless"), "names no model"),
        ):
            await talk.say(request)
            answer = await talk.hear()
            assert words in answer.error_message
            assert answer.infer_response.id == request.id
        await talk.say(echo_request([3], request_id="fine"))
        assert read((await talk.hear()).infer_response) == [3]
    assert mesh.metric("inferloom_request_duration_seconds_count", model="(unknown)") == 3
    assert [str(e.health.state) for g in mesh.router.pool.groups.values() for e in g.endpoints.values()] == [
        "closed"
    ] * 10


async def test_bytes_that_are_no_message_are_an_error_of_that_message(face: Any) -> None:
    call = face.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
    await call.write(b"\x0a\x7fecho")
    answer = pb.ModelStreamInferResponse.FromString(await call.read())
    assert "its bytes do not parse" in answer.error_message
    await call.write(echo_request([1]).SerializeToString())
    assert read(pb.ModelStreamInferResponse.FromString(await call.read()).infer_response) == [1]
    await call.done_writing()
    assert await call.read() is EOF


async def test_a_stream_without_messages_ends_well(face: Any) -> None:
    assert await answers(face) == []


async def test_a_caller_that_cancels_its_stream_cancels_the_models_work(mesh: Mesh, face: Any, pair: Pair) -> None:
    before = [len(server.log("tokens").lines) for server in pair]
    talk = Talk(face)
    await talk.say(token_request(1000, 0.02, "long"))
    await talk.hear()
    cancelled_at = time.monotonic()
    talk.call.cancel()
    while [len(server.log("tokens").lines) for server in pair] == before:
        assert time.monotonic() < cancelled_at + 3
        await asyncio.sleep(0.01)
    stopped = [float(line[2]) for server in pair for line in server.log("tokens").lines][-1:]
    assert any(at - cancelled_at < 0.3 for at in stopped)
    await asyncio.sleep(0.05)
    assert mesh.metric("inferloom_replica_in_flight") == 0
    assert mesh.metric("inferloom_attempt_failures_total") == 0


async def test_a_stream_ends_at_its_deadline_and_the_model_with_it(face: Any, pair: Pair) -> None:
    began = time.monotonic()
    call = face.ModelStreamInfer(iter([token_request(1000, 0.02)]), timeout=0.4)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.35 < time.monotonic() - began < 0.7


async def test_a_silent_stream_ends_and_one_with_a_deadline_that_speaks_does_not(
    mesh: Mesh, face: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh.router.pool.groups["echo"], "policy", TrafficPolicy(stream_idle=0.3))
    async with Talk(face, timeout=10) as talk:
        for number in range(8):
            await talk.say(echo_request([number]))
            await talk.hear()
            await asyncio.sleep(0.1)
        with pytest.raises(grpc.aio.AioRpcError, match=r"the stream was silent for 0\.3 s|silent") as caught:
            await talk.hear()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_idle_stream_of_a_draining_replica_moves_to_another(mesh: Mesh, face: Any, pair: Pair) -> None:
    async with Talk(face) as talk:
        await talk.say(slow_request(0.0, 9001))
        await talk.hear()
        first = "one" if 9001 in pair[0].log().keys("ran") else "two"
        other = pair[1] if first == "one" else pair[0]
        await mesh.say(first, state=State.DRAINING)
        await asyncio.sleep(0)
        await talk.say(slow_request(0.0, 9002))
        assert read((await talk.hear()).infer_response) == [9002]
        assert 9002 in other.log().keys("ran")
        assert mesh.metric("inferloom_replica_in_flight", replica=first) == 0


async def test_a_busy_stream_of_a_draining_replica_moves_in_order(mesh: Mesh, face: Any, pair: Pair) -> None:
    async with Talk(face) as talk:
        for key in range(9100, 9104):
            await talk.say(slow_request(0.1, key))
        while 9100 not in (ran := [*pair[0].log().keys("ran"), *pair[1].log().keys("ran")]):
            await asyncio.sleep(0.01)
        first = "one" if 9100 in pair[0].log().keys("ran") else "two"
        other = pair[1] if first == "one" else pair[0]
        assert 9104 not in ran
        await mesh.say(first, state=State.DRAINING)
        await asyncio.sleep(0)
        for key in range(9104, 9108):
            await talk.say(slow_request(0.0, key))
        got = [read((await talk.hear()).infer_response)[0] for _ in range(8)]
        assert got == list(range(9100, 9108))
        assert set(range(9104, 9108)) <= set(other.log().keys("ran"))
