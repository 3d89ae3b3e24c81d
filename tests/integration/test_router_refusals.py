"""Bad input: who refuses it, and in whose words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import numpy as np
import pytest

from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.registry.memory import MemoryRegistry
from tests.support.caller import echo_request, infer_request, read, stub
from tests.support.load import outcome_of
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]
Status = grpc.StatusCode


@pytest.fixture
async def mesh(pair: Pair) -> AsyncIterator[Mesh]:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh:
        yield mesh


@pytest.fixture
async def face(mesh: Mesh) -> AsyncIterator[Any]:
    async with stub(mesh.address) as face:
        yield face


async def test_an_unknown_model_is_not_found_and_near_names_are_named(face: Any) -> None:
    code, message = await outcome_of(face.ModelInfer(echo_request(model="ecko")))
    assert (code, message) == (Status.NOT_FOUND, "model 'ecko' not found; did you mean echo?")
    code, message = await outcome_of(face.ModelMetadata(pb.ModelMetadataRequest(name="Versiond")))
    assert (code, message) == (Status.NOT_FOUND, "model 'Versiond' not found; did you mean versioned?")
    code, message = await outcome_of(face.ModelStatistics(pb.ModelStatisticsRequest(name="qqqqqq")))
    assert (code, message) == (Status.NOT_FOUND, "model 'qqqqqq' not found")


def spoilt(change: Callable[[Any], None]) -> Any:
    request = echo_request()
    change(request)
    return request


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(infer_request("echo", z=np.ones((1, 2), np.float32)), id="name"),
        pytest.param(infer_request("echo", x=np.ones((1, 2, 3), np.float32)), id="shape"),
        pytest.param(infer_request("echo", x=np.ones((1, 2), np.int32)), id="dtype"),
        pytest.param(spoilt(lambda r: r.ClearField("raw_input_contents")), id="content"),
        pytest.param(spoilt(lambda r: r.inputs[0].shape.__setitem__(1, 5)), id="size"),
        pytest.param(spoilt(lambda r: r.ClearField("inputs")), id="inputs"),
        pytest.param(spoilt(lambda r: r.outputs.add(name="nothing")), id="outputs"),
        pytest.param(spoilt(lambda r: setattr(r.inputs[0], "datatype", "FP33")), id="datatype"),
    ],
)
async def test_a_wrong_tensor_gets_tritons_own_words(face: Any, pair: Pair, request_: Any) -> None:
    async with stub(pair[0].address) as direct:
        expected = await outcome_of(direct.ModelInfer(request_))
        assert expected[0] is not Status.OK
        assert await outcome_of(face.ModelInfer(request_)) == expected


async def test_wrong_tensors_do_not_count_against_the_replica(mesh: Mesh, face: Any) -> None:
    for _ in range(30):
        code, _ = await outcome_of(face.ModelInfer(infer_request("echo", z=np.ones((1, 2), np.float32))))
        assert code is Status.INVALID_ARGUMENT
    states = [str(endpoint.health.state) for endpoint in mesh.router.pool.groups["echo"].endpoints.values()]
    assert states == ["closed", "closed"]


GARBAGE = {
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a length beyond the end": b"\x0a\x7fecho",
    "a cut tag": b"\x8a",
    "an endless number": b"\x08" + b"\xff" * 20,
    "a group": b"\x0b\x0c",
    "a name that is no text": b"\x0a\x02\xff\xfe",
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
async def test_bytes_that_are_no_message_are_invalid(face: Any, body: bytes) -> None:
    code, message = await outcome_of(face.channel.unary_unary(MODEL_INFER.path)(body))
    assert code is Status.INVALID_ARGUMENT
    assert message == "the request is no message of the Open Inference Protocol: its bytes do not parse"
    for name in ("ModelReady", "RepositoryIndex", "ModelStatistics"):
        method = f"/inference.GRPCInferenceService/{name}"
        code, message = await outcome_of(face.channel.unary_unary(method)(b"\x0a\x7fecho"))
        assert code is Status.INVALID_ARGUMENT
        assert name in message


async def send(face: Any, body: bytes) -> Any:
    return pb.ModelInferResponse.FromString(await face.channel.unary_unary(MODEL_INFER.path)(body))


async def test_of_two_names_in_one_message_the_last_wins_as_in_triton(face: Any, pair: Pair) -> None:
    body = echo_request([1]).SerializeToString() + pb.ModelInferRequest(model_name="versioned").SerializeToString()
    async with stub(pair[0].address) as direct:
        assert (await send(direct, body)).model_name == "versioned"
    answer = await send(face, body)
    assert (answer.model_name, answer.model_version, read(answer)) == ("versioned", "1", [1])
    split = pb.ModelInferRequest(model_version="1").SerializeToString() + body + b"\x12\x012"
    assert (await send(face, split)).model_version == "2"


@pytest.mark.parametrize("high", [0x10, 0x20, 0x70], ids=hex)
async def test_a_tag_beyond_32_bits_does_not_hide_a_name_that_triton_reads(face: Any, pair: Pair, high: int) -> None:
    """Triton's parser drops what is beyond 32 bits of a tag. A router that does not would find another model's name."""
    hidden = b"\x8a\x80\x80\x80" + bytes([high, len("versioned")]) + b"versioned"
    body = echo_request([1]).SerializeToString() + hidden
    async with stub(pair[0].address) as direct:
        assert (await send(direct, body)).model_name == "versioned"
    try:
        answer = await send(face, body)
    except grpc.aio.AioRpcError as error:
        assert error.code() is Status.INVALID_ARGUMENT  # noqa: PT017 refused is as good
    else:
        assert (answer.model_name, answer.model_version) == ("versioned", "1"), "routed by one name, run under another"


@pytest.mark.parametrize("name", ["e" * 300, "echo\n", "echo\nINFO all is well", "ech\u00f6", "../echo", "a b", "\x00"])
async def test_a_name_that_no_model_can_have_is_invalid(face: Any, name: str) -> None:
    code, message = await outcome_of(face.ModelInfer(echo_request(model=name)))
    assert code is Status.INVALID_ARGUMENT
    assert "is no model name: 1 to 128 letters, digits" in message
    assert len(message) < 200
    assert "\n" not in message


async def test_an_empty_name_is_invalid(face: Any) -> None:
    code, message = await outcome_of(face.ModelInfer(pb.ModelInferRequest()))
    assert (code, message) == (Status.INVALID_ARGUMENT, "the request names no model")


@pytest.mark.parametrize("version", ["v" * 50_000, "1\n2", "-1", "latest"], ids=["long", "newline", "minus", "word"])
async def test_a_version_that_is_not_there_is_not_found_whatever_it_is(face: Any, version: str) -> None:
    request = echo_request()
    request.model_version = version
    code, message = await outcome_of(face.ModelInfer(request))
    assert code is Status.NOT_FOUND
    assert len(message) < 300
    assert "\n" not in message


async def test_callers_cannot_make_the_metrics_grow(mesh: Mesh, face: Any) -> None:
    for number in range(20):
        request = echo_request()
        request.model_version = f"v{number}"
        await outcome_of(face.ModelInfer(request))
        await outcome_of(face.ModelInfer(echo_request(model=f"m{number}")))
    families = [f for f in mesh.router.metrics.collect() if f.name == "inferloom_request_duration_seconds"]
    labels = {(s.labels["model"], s.labels["version"]) for family in families for s in family.samples}
    assert len(labels) <= 2
    assert mesh.metric("inferloom_request_duration_seconds_count", code="NOT_FOUND") == 40


async def test_the_reason_why_no_replica_can_be_used_fits_into_an_answer() -> None:
    from inferloom.mesh.catalog import Replica, State

    registry = MemoryRegistry()
    for number in range(300):
        await registry.register(
            Replica("many", f"replica-{number:03}", "127.0.0.1", 1, State.STARTING, problem="x" * 100)
        )
    async with running_mesh(registry=registry) as mesh, stub(mesh.address) as face:
        code, message = await outcome_of(face.ModelInfer(echo_request(model="many")))
    assert code is Status.UNAVAILABLE
    assert "300 registered" in message
    assert "replica-000 starting" in message
    assert len(message) < 4000
