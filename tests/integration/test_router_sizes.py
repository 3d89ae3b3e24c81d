"""Messages from nothing to the bound, and beyond it."""

from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest

from inferloom.mesh.router.router import MIB, RouterSettings
from tests.support.caller import echo_request, infer_request, slow_request, stub
from tests.support.load import outcome_of
from tests.support.router import Server, running_mesh

Pair = tuple[Server, Server]
BOUND = 4 * MIB


def big(model: str, size: int) -> object:
    """A request whose message is about `size` bytes."""
    return infer_request(model, x=np.ones((1, size // 4), np.float32))


async def test_bodies_up_to_the_bound_pass_and_one_beyond_it_leaves_the_connection_alive(pair: Pair) -> None:
    async with (
        running_mesh({"one": pair[0]}, settings=RouterSettings(max_message=BOUND)) as mesh,
        stub(mesh.address) as face,
    ):
        for size in (4, 16 * 1024, 64 * 1024, MIB, BOUND - 200):
            request = big("versioned", size)
            answer = await face.ModelInfer(request)
            assert len(answer.raw_output_contents[0]) == size // 4 * 4
        slow = face.ModelInfer(slow_request(0.5, 1))
        code, message = await outcome_of(face.ModelInfer(big("versioned", BOUND + 1000)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert str(BOUND) in message
        assert (await face.ModelInfer(big("versioned", 400))).model_name == "versioned"
        assert (await slow).model_name == "slow", "what was under way on the same connection went on"


async def test_the_bound_is_exact(pair: Pair) -> None:
    async with (
        running_mesh({"one": pair[0]}, settings=RouterSettings(max_message=MIB)) as mesh,
        stub(mesh.address) as face,
    ):
        call = face.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        body = echo_request(model="versioned").SerializeToString()
        padding = MIB - len(body) - 4  # an unknown field of three bytes of length: 1 tag, 3 length
        exact = body + b"\x7a" + _three_bytes(padding) + bytes(padding)
        assert len(exact) == MIB
        assert await call(exact)
        code, _ = await outcome_of(call(exact + b"\x78\x00"))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def _three_bytes(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14])


async def test_an_empty_body_names_no_model(pair: Pair) -> None:
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face:
        code, message = await outcome_of(face.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b""))
        assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "the request names no model")


async def test_48_mib_pass_with_the_default_bound(pair: Pair) -> None:
    async with running_mesh({"one": pair[0]}) as mesh, stub(mesh.address) as face:
        answer = await face.ModelInfer(big("versioned", 48 * MIB), timeout=30)
        assert len(answer.raw_output_contents[0]) == 48 * MIB
        assert mesh.metric("inferloom_in_flight_bytes") == 0


async def test_messages_of_a_stream_are_bounded_too_and_the_stream_lives(pair: Pair) -> None:
    settings = RouterSettings(max_in_flight=2000)
    async with running_mesh({"one": pair[0]}, settings=settings) as mesh, stub(mesh.address) as face:
        small = slow_request(0.0, 1)
        large = slow_request(0.0, 2, parameters={"padding": "p" * 4000})
        replies = [answer async for answer in face.ModelStreamInfer(iter([large, small]), timeout=10)]
        assert sorted(bool(reply.error_message) for reply in replies) == [False, True]
        assert any("exceeds this process's bound of 2000" in reply.error_message for reply in replies)
        assert mesh.metric("inferloom_in_flight_bytes") == 0


@pytest.mark.parametrize("callers", [12])
async def test_bytes_in_flight_are_bounded_and_the_rest_is_shed(pair: Pair, callers: int) -> None:
    settings = RouterSettings(max_in_flight=2000)
    async with running_mesh({"one": pair[0]}, settings=settings) as mesh, stub(mesh.address) as face:
        padded = slow_request(0.3, 1, parameters={"padding": "p" * 400})
        assert 400 < padded.ByteSize() < 600
        calls = [face.ModelInfer(padded, timeout=10) for _ in range(callers)]
        await asyncio.sleep(0.15)
        assert 1200 < mesh.metric("inferloom_in_flight_bytes") <= 2000
        shed = 0
        for call in calls:
            code, message = await outcome_of(call)
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                shed += 1
                trailing = dict(await call.trailing_metadata())
                assert trailing["x-inferloom-reason"] == "shed"
                assert trailing["grpc-retry-pushback-ms"] == "100"
                assert "2000" in message
            else:
                assert code is grpc.StatusCode.OK, message
        assert 0 < shed < callers
        assert mesh.metric("inferloom_in_flight_bytes") == 0
        assert mesh.metric("inferloom_in_flight_requests") == 0
        assert (await face.ModelInfer(padded, timeout=10)).model_name == "slow"
