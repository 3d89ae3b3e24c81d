"""Metadata on its way to Triton, and Triton's back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from inferloom.mesh.catalog import Replica
from inferloom.mesh.registry.memory import MemoryRegistry
from tests.support.caller import Talk, echo_request, stub
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def mesh(pair: Pair) -> AsyncIterator[Mesh]:
    async with running_mesh({"one": pair[0]}) as mesh:
        yield mesh


def seen(answer: Any) -> dict[str, str]:
    """The headers that the model saw."""
    raw = answer.raw_output_contents[1]
    found: dict[str, str] = json.loads(raw[4:])
    return found


SENT = (
    ("traceparent", TRACEPARENT),
    ("tracestate", "vendor=1"),
    ("baggage", "user=ada"),
    ("x-request-id", "7"),
    ("x-inferloom-explain", "1"),
    ("authorization", "Bearer s3cret"),
)


async def test_the_callers_metadata_reaches_the_model_but_for_the_meshs_token(mesh: Mesh, pair: Pair) -> None:
    async with stub(mesh.address) as through, stub(pair[0].address) as direct:
        directly = seen(await direct.ModelInfer(echo_request(), metadata=SENT))
        assert directly["authorization"] == "Bearer s3cret", "Triton would hand it to the model"
        got = seen(await through.ModelInfer(echo_request(), metadata=SENT))
    assert got == {key: value for key, value in directly.items() if key != "authorization"}
    assert got["traceparent"] == TRACEPARENT
    assert got["x-request-id"] == "7"


async def test_a_streams_metadata_reaches_the_model_too(mesh: Mesh) -> None:
    async with stub(mesh.address) as face:
        talk = Talk(face)
        call = face.ModelStreamInfer(metadata=SENT)
        await call.write(echo_request())
        answer = await call.read()
        call.cancel()
        talk.call.cancel()
    got = seen(answer.infer_response)
    assert got["traceparent"] == TRACEPARENT
    assert "authorization" not in got


async def test_initial_and_trailing_metadata_of_a_replica_come_back() -> None:
    """Triton sends none of its own, so the replica is a plain grpc server here."""

    async def answer(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata((("x-first", "1"), ("x-bytes-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-last", "2"),))
        if b"fail" in request:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now\n\u00fc", (("x-why", "tired"),))
        return request

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    registry = MemoryRegistry()
    await registry.register(Replica("plain", "a", "127.0.0.1", port))
    try:
        async with running_mesh(registry=registry) as mesh, stub(mesh.address) as face:
            call = face.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            rpc = call(echo_request(model="plain").SerializeToString())
            await rpc
            first = dict(await rpc.initial_metadata())
            assert (first["x-first"], first["x-bytes-bin"]) == ("1", b"\x00\xff")
            assert dict(await rpc.trailing_metadata())["x-last"] == "2"
            rpc = call(echo_request(model="plain", request_id="fail").SerializeToString())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rpc
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert caught.value.details() == "not now\n\u00fc"
            assert dict(await rpc.trailing_metadata())["x-why"] == "tired"
    finally:
        await server.stop(None)
