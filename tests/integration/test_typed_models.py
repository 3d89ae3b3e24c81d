"""Models of a real Triton by readable JSON and by typed gRPC, through a real router."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inferloom.mesh.catalog import Replica
from tests.support.router import Server
from tests.support.triton import write_model
from tests.support.typed import Stub, TypedMesh, raw, running_typed, stub, violations

ECHO, TOKENS, EVERY = (f"inferloom.models.{name}.v1.{name.capitalize()}Service" for name in ("echo", "tokens", "every"))
DATATYPES = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING".split()  # noqa: SIM905
IDENTITY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("y" + each.name()[1:], each.as_numpy()) for each in request.inputs()]
            )
            for request in requests
        ]
"""
HINTS = {
    "inputs": {
        "x_fp32": {
            "columns": [
                {"name": "length", "unit": "cm", "range": [0, 10]},
                {"name": "width", "finite": True},
            ]
        },
        "x_int32": {"labels": ["red", "green"], "enum": True, "name": "colour"},
    },
    "outputs": {"y_int32": {"labels": ["red", "green"], "name": "answer"}},
}


def every(repository: Path) -> None:
    sides = {"x": "", "y": ""}
    for side in sides:
        tensors = [
            f'{{ name: "{side}_{kind.lower().replace("string", "bytes")}" data_type: TYPE_{kind} '
            f"dims: [{2 if kind == 'FP32' else 1 if kind == 'INT32' else -1}] }}"
            for kind in DATATYPES
        ]
        sides[side] = ", ".join(tensors)
    write_model(repository, "every", f"max_batch_size: 4\ninput [{sides['x']}]\noutput [{sides['y']}]\n", IDENTITY)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("typed"), ["echo", "slow", "tokens", "versioned"])
    every(server.repository)
    server.models += ("every",)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def typed(triton: Server) -> AsyncIterator[TypedMesh]:
    async with running_typed({"a": triton}) as one:
        await one.mesh.registry.documents.put("model", "every", {"hints": HINTS})
        await hinted(one)
        yield one


async def hinted(typed: TypedMesh) -> None:
    """Return when the hints hold."""
    async with asyncio.timeout(20):
        while True:
            face = (await typed.faces.of("every")).face
            if any(binding.type == "Colour" for binding in face.inputs):
                return
            await asyncio.sleep(0.01)


async def reflected(typed: TypedMesh, service: str) -> Stub:
    return await asyncio.to_thread(stub, typed.mesh.address, service, typed.channel)


async def test_curl_with_rows_calls_a_model(typed: TypedMesh) -> None:
    status, answer = await typed.post("/v1/echo", {"rows": [{"x": [0.1, 2]}, {"x": ["NaN", -1e30]}]})
    assert status == 200, answer
    assert [row["y"] for row in answer["rows"]] == [[0.1, 2.0], ["NaN", -1e30]]
    status, answer = await typed.post("/v1/versioned:predict?version=2", {"rows": [{"x": [1]}]})
    assert status == 200, answer


async def test_a_model_answers_json_within_a_second_of_being_added(typed: TypedMesh, triton: Server) -> None:
    record = Replica("slow", "b", "127.0.0.1", triton.port, versions=("1",))
    await typed.mesh.registrations["slow", "a"].deregister()
    async with asyncio.timeout(10):
        while "slow" in typed.mesh.router.pool.catalog.models:
            await asyncio.sleep(0.01)
    await typed.mesh.registry.register(record)
    began = time.monotonic()
    body = {"rows": [{"seconds": 0, "key": 5}]}
    async with asyncio.timeout(10):
        while (found := await typed.post("/v1/slow", body)) != (200, body_of(5)):
            assert found[0] in (404, 503), found
            await asyncio.sleep(0.01)
    assert time.monotonic() - began < 1


def body_of(key: int) -> Any:
    return {"rows": [{"key": key}]}


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"rows": [{"x": [1, "2"]}]}, {"rows[0].x[1]": "takes a number, got '2'"}),
        ({"rows": [{"x": [1]}, {"y": [1]}]}, {"rows[1].y": "is not known", "rows[1].x": "is missing"}),
        ({"rows": [{"x": [1]}], "more": 1}, {"more": "is not known"}),
        ({"rows": [{"x": [1]}, {"x": [1, 2]}]}, {"rows[1].x": "takes 1 elements like the one before it, got 2"}),
        ({"rows": []}, {"rows": "takes at least one"}),
        ({"rows": [{"x": [1]}] * 65}, {"rows": "takes up to 64, got 65"}),
        ({"rows": [{"x": 1}]}, {"rows[0].x": "takes a list, got 1"}),
        ({"rows": [{"x": [True]}]}, {"rows[0].x[0]": "takes a number, got true"}),
        ({"rows": [{"x": [1e39]}]}, {"rows[0].x[0]": "takes a number within FP32"}),
        ({"rows": [1]}, {"rows[0]": "takes an object, got 1"}),
        ({"rows": {}}, {"rows": "takes a list of objects, got an object"}),
        ({}, {"rows": "is missing"}),
        ([], {"": "the body: takes an object with rows, got a list of 0"}),
        (b'{"rows": [{"x": [NaN]}]}', {"": "the body is no JSON"}),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_path_of_each_fault(
    typed: TypedMesh, body: Any, faults: dict[str, str]
) -> None:
    status, answer = await typed.post("/v1/echo", body)
    assert (status, answer["code"]) == (400, 3)
    (detail,) = answer["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    found = {each.get("field", ""): each["description"] for each in detail["fieldViolations"]}
    assert found.keys() == faults.keys()
    for field, start in faults.items():
        assert found[field].startswith(start), found
        assert found[field] in answer["message"]


async def test_every_datatype_goes_there_and_back(typed: TypedMesh) -> None:
    row = {
        "x_bool": [True, False],
        "x_uint8": [0, 255],
        "x_uint16": [65535],
        "x_uint32": [4294967295],
        "x_uint64": ["18446744073709551615", 7],
        "x_int8": [-128],
        "x_int16": [-32768, 5],
        "x_int64": [-(2**53), "-9223372036854775808"],
        "x_fp16": [0.5, "Infinity"],
        "length": 5.1,
        "width": -3,
        "x_fp64": [0.1, math.pi],
        "x_bytes": ["ä", ""],
        "colour": "COLOUR_GREEN",
    }
    status, answer = await typed.post("/v1/every", {"rows": [row]})
    assert status == 200, answer
    (out,) = answer["rows"]
    same = {key: value for key, value in row.items() if key.startswith("x_")} | {"x_uint64": [2**64 - 1, 7]}
    assert {f"x{key[1:]}": value for key, value in out.items() if key.startswith("y_") and key != "y_fp32"} == {
        **same,
        "x_int64": [-(2**53), "-9223372036854775808"],
        "x_uint64": ["18446744073709551615", 7],
    }
    assert out["y_fp32"] == [5.1, -3.0]
    assert out["answer"] == "green"
    typed_stub = await reflected(typed, EVERY)
    message = {
        **row,
        "x_fp16": [0.5, math.inf],
        "colour": 2,
        "x_uint64": [2**64 - 1, 7],
        "x_int64": [-(2**53), -(2**63)],
    }
    reply = (await typed_stub.Predict(typed_stub.PredictRequest(rows=[message]))).rows[0]
    assert (list(reply.y_uint64), list(reply.y_int64)) == ([2**64 - 1, 7], [-(2**53), -(2**63)])
    assert (list(reply.y_fp16), reply.answer, list(reply.y_bytes)) == ([0.5, math.inf], "green", ["ä", ""])
    assert list(reply.y_bool) == [True, False]


async def test_ranges_enums_and_several_faults_are_told_before_the_model_is_asked(typed: TypedMesh) -> None:
    row: dict[str, Any] = {
        f"x_{kind.lower()}": [0] for kind in DATATYPES if kind not in ("FP32", "INT32", "STRING", "BOOL")
    }
    row |= {"x_bool": [False], "x_bytes": ["a"], "length": 11, "width": "NaN", "colour": "BLUE"}
    wrong = {"rows": [row | {"x_uint8": [256], "x_int8": [None]}]}
    status, answer = await typed.post("/v1/every", wrong)
    assert status == 400
    found = {each["field"]: each["description"] for each in answer["details"][0]["fieldViolations"]}
    assert found == {
        "rows[0].x_uint8[0]": "takes a whole number from 0 to 255, got 256",
        "rows[0].x_int8[0]": "takes a whole number, got null",
        "rows[0].length": "takes a number from 0 to 10, got 11",
        "rows[0].width": "takes a finite number, got nan",
        "rows[0].colour": "takes one of COLOUR_RED, COLOUR_GREEN, got 'BLUE'",
    }
    typed_stub = await reflected(typed, EVERY)
    message = row | {"x_uint8": [256], "width": math.nan, "colour": 0}
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await typed_stub.Predict(typed_stub.PredictRequest(rows=[message]))
    assert error.value.code() is StatusCode.INVALID_ARGUMENT
    assert violations(error.value).keys() == {
        "rows[0].x_uint8[0]",
        "rows[0].length",
        "rows[0].width",
        "rows[0].colour",
    }


async def test_a_large_body_is_read_and_written_quickly(typed: TypedMesh) -> None:
    values = np.random.default_rng(0).random(60_000, np.float32)
    body = json.dumps({"rows": [{"x": values.tolist()}]}).encode()
    assert len(body) > 1_000_000
    status, answer = await typed.post("/v1/echo", body)
    assert status == 200
    np.testing.assert_array_equal(np.array(answer["rows"][0]["y"], np.float32), values)


async def test_reflection_lists_describes_and_the_described_can_be_called(typed: TypedMesh) -> None:
    typed_stub = await reflected(typed, ECHO)
    answer = await typed_stub.Predict(typed_stub.PredictRequest(rows=[{"x": [1, 2]}, {"x": [3, 4]}]))
    assert [list(row.y) for row in answer.rows] == [[1, 2], [3, 4]]
    told = await typed_stub.Describe(typed_stub.DescribeRequest())
    assert (told.name, list(told.versions), told.max_rows) == ("echo", ["1"], 64)
    assert MessageToDict(told.inputs[0], preserving_proto_field_name=True) == {
        "name": "x",
        "datatype": "FP32",
        "shape": ["-1", "-1"],
        "fields": ["x"],
    }


async def test_health_knows_the_typed_services_that_come_and_go(typed: TypedMesh) -> None:
    health = health_pb2_grpc.HealthStub(typed.channel)
    asked = health_pb2.HealthCheckRequest(service=ECHO)
    await typed.faces.of("echo")
    async with asyncio.timeout(10):
        while await _state(health, asked) != health_pb2.HealthCheckResponse.SERVING:
            await asyncio.sleep(0.01)
        await typed.mesh.registrations["echo", "a"].deregister()
        while await _state(health, asked) == health_pb2.HealthCheckResponse.SERVING:
            await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(typed.channel, f"/{ECHO}/Predict", b"")
    assert error.value.code() is StatusCode.UNIMPLEMENTED


async def _state(health: Any, asked: Any) -> int:
    try:
        return int((await health.Check(asked)).status)
    except grpc.aio.AioRpcError as error:
        if error.code() is not StatusCode.NOT_FOUND:
            raise
        return int(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)


async def test_a_typed_call_keeps_its_deadline_and_can_be_cancelled(typed: TypedMesh) -> None:
    name = "inferloom.models.slow.v1.SlowService"
    typed_stub = await reflected(typed, name)
    request = typed_stub.PredictRequest(rows=[{"seconds": 5, "key": 1}])
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await typed_stub.Predict(request, timeout=0.3)
    assert error.value.code() is StatusCode.DEADLINE_EXCEEDED
    call = typed_stub.Predict(request)
    async with asyncio.timeout(10):
        while typed.mesh.router.admission.requests == 0:
            await asyncio.sleep(0.01)
        call.cancel()
        while typed.mesh.router.admission.requests:
            await asyncio.sleep(0.01)


async def test_a_decoupled_model_streams_over_both(typed: TypedMesh) -> None:
    body = {"count": 3, "seconds": 0}
    async with typed.http.post(f"{typed.base}/v1/tokens", json=body) as answer:
        assert (answer.status, await answer.text()) == (200, '{"token":0}\n{"token":1}\n{"token":2}\n')
    typed_stub = await reflected(typed, TOKENS)
    answers = [each.token async for each in typed_stub.PredictStream(typed_stub.PredictStreamRequest(**body))]
    assert answers == [0, 1, 2]
    status, told = await typed.post("/v1/tokens", {"count": 3})
    assert (status, told["message"]) == (400, "seconds: is missing")


async def test_bytes_that_are_no_message_are_told_so(typed: TypedMesh) -> None:
    await typed.faces.of("echo")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(typed.channel, f"/{ECHO}/Predict", b"\xff\xff")
    assert error.value.code() is StatusCode.INVALID_ARGUMENT
    assert "PredictRequest: its bytes do not parse" in (error.value.details() or "")


async def test_a_service_that_is_not_there_is_told_with_the_one_that_is(typed: TypedMesh) -> None:
    await typed.faces.of("echo")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(typed.channel, "/inferloom.models.echo.v7.EchoService/Predict", b"")
    assert error.value.code() is StatusCode.UNIMPLEMENTED
    assert (error.value.details() or "").endswith(f"there is {ECHO}")
