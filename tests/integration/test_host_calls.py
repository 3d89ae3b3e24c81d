"""Services in a host, behind a real router, in front of a real Triton."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from inferloom.clients.aio import MeshClient
from inferloom.mesh.errors import (
    DeadlineExceeded,
    Exhausted,
    InvalidInput,
    ModelNotFound,
    NoReplica,
    ReplicaError,
    Unsupported,
)
from inferloom.mesh.oip import pb
from inferloom.v1 import typed_pb2, typed_pb2_grpc
from tests.support.caller import Talk, infer_request, stub
from tests.support.host import client, eventually, running_host, write_app
from tests.support.router import Mesh, Server, running_mesh

APP = """
    import asyncio
    from collections.abc import AsyncIterator
    from dataclasses import dataclass
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt
    from pydantic import BaseModel

    from inferloom.sdk import model, service, shape

    echo, slow = model("echo"), model("slow")
    Row = Annotated[npt.NDArray[np.float32], shape(-1)]
    seen = []


    class Item(BaseModel):
        price: float


    @dataclass
    class Answer:
        total: float
        text: str


    @service
    class Shop:
        \"\"\"Adds up prices.

        More words.
        \"\"\"

        async def predict(self, x: Row, factor: float = 1.0) -> Answer:
            \"\"\"The sum of a row.\"\"\"
            out = await echo(x=x[None, :])
            return Answer(float(out["y"].sum()) * factor, "sum")

        async def items(self, items: list[Item]) -> float:
            return sum(item.price for item in items)

        async def fails(self, what: str) -> str:
            if what == "value":
                raise ValueError("bad luck\\nsecond line")
            if what == "result":
                return 7
            if what == "model":
                await model("ecco")(x=[1.0])
            raise KeyError(what)

        async def works(self, key: int, seconds: float) -> int:
            out = await slow(seconds=np.array([[seconds]], np.float32), key=np.array([[key]], np.int32))
            return int(out["key"][0, 0])

        async def counts(self, n: int, seconds: float = 0.0) -> AsyncIterator[str]:
            try:
                for i in range(n):
                    yield f"number {i}"
                    await asyncio.sleep(seconds)
                if n == 3:
                    raise RuntimeError("no more")
            finally:
                seen.append(n)


    @service(max_ongoing=1)
    async def one_at_a_time(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"
"""


@pytest.fixture
async def mesh(tmp_path: Path, pair: tuple[Server, Server]) -> AsyncIterator[Mesh]:
    async with running_mesh({"a": pair[0]}) as mesh, running_host(mesh.registry, write_app(tmp_path / "shop.py", APP)):
        await eventually(lambda: "Shop" in mesh.router.pool.groups)
        yield mesh


@pytest.fixture
async def caller(mesh: Mesh) -> AsyncIterator[MeshClient]:
    async with client(mesh.address) as found:
        yield found


async def call_json(address: str, name: str, **body: Any) -> Any:
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        face: Any = typed_pb2_grpc.TypedServiceStub(channel)  # type: ignore[no-untyped-call]
        reply = await face.Call(typed_pb2.TypedRequest(model_name=name, json=json.dumps(body).encode()))
        return json.loads(reply.json)


async def test_a_service_answers_like_a_model_and_calls_one(caller: MeshClient) -> None:
    answer = await caller.infer("Shop", {"x": np.array([1, 2, 3], np.float32), "factor": 2.0})

    assert answer["total"].tolist() == [12.0]
    assert answer.text("text").tolist() == ["sum"]


async def test_only_the_outputs_asked_for_come_back(caller: MeshClient) -> None:
    answer = await caller.infer("Shop", {"x": np.array([1], np.float32)}, outputs=["total"])

    assert list(answer) == ["total"]
    with pytest.raises(InvalidInput, match=r"no output 'totl'"):
        await caller.infer("Shop", {"x": np.array([1], np.float32)}, outputs=["totl"])


async def test_metadata_and_configuration_tell_types_and_which_inputs_are_optional(caller: MeshClient) -> None:
    described = await caller.metadata("Shop")

    assert str(described) == "Shop takes x FP32 [-1], factor FP64 [1] (optional); gives total FP64 [1], text BYTES [1]"
    assert described.platform == "inferloom_service"
    assert (described.max_batch_size, described.decoupled) == (0, False)
    assert (await caller.metadata("Shop.counts")).decoupled


async def test_the_json_face_gives_the_same_answer(mesh: Mesh) -> None:
    assert await call_json(mesh.address, "Shop", x=[1, 2, 3], factor=2) == {"total": 12.0, "text": "sum"}
    assert await call_json(mesh.address, "Shop.items", items=[{"price": 1.5}, {"price": 2}]) == 3.5


async def test_json_that_does_not_fit_is_refused_with_its_path(mesh: Mesh) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=r"items\[1\]\.price: Input should be a valid number") as raised:
        await call_json(mesh.address, "Shop.items", items=[{"price": 1}, {"price": "x"}])

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_describe_tells_the_schema(mesh: Mesh) -> None:
    async with grpc.aio.insecure_channel(mesh.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        face: Any = typed_pb2_grpc.TypedServiceStub(channel)  # type: ignore[no-untyped-call]
        reply = await face.Describe(typed_pb2.DescribeRequest(model_name="Shop"))

    assert reply.description == "The sum of a row."
    assert list(json.loads(reply.request_schema)["properties"]) == ["x", "factor"]
    assert list(json.loads(reply.response_schema)["properties"]) == ["total", "text"]


async def test_an_exception_reaches_the_caller_as_type_and_first_line(
    caller: MeshClient, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReplicaError) as raised:
        await caller.infer("Shop.fails", {"what": "value"}, request_id="r-17")

    assert (raised.value.code, str(raised.value)) == (grpc.StatusCode.UNKNOWN, "ValueError: bad luck")
    logged = capsys.readouterr().out
    assert "r-17" in logged
    assert 'raise ValueError("bad luck' in logged
    assert "services/host/work.py" not in logged


async def test_a_result_of_another_type_is_the_services_fault(caller: MeshClient) -> None:
    with pytest.raises(ReplicaError, match=r"TypeError: the result of Shop\.fails") as raised:
        await caller.infer("Shop.fails", {"what": "result"})

    assert raised.value.code is grpc.StatusCode.UNKNOWN


async def test_a_model_that_a_service_does_not_find_is_not_taken_for_the_service(caller: MeshClient) -> None:
    with pytest.raises(NoReplica, match=r"a call inside it failed: model 'ecco' not found; did you mean echo\?"):
        await caller.infer("Shop.fails", {"what": "model"})


async def test_a_wrong_input_is_refused_before_the_code_runs(mesh: Mesh) -> None:
    async with stub(mesh.address) as face:
        for request, message in (
            (infer_request("Shop", y=[1.0]), "input 'x' is missing"),
            (infer_request("Shop", x=[1.0], z=[1.0]), "no input 'z'"),
            (infer_request("Shop", x=[1]), "FP32"),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=message) as raised:
                await face.ModelInfer(request)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_deadline_ends_the_code_and_the_model_it_waits_for(
    caller: MeshClient, pair: tuple[Server, Server]
) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await caller.infer("Shop.works", {"key": 901, "seconds": 5.0}, timeout=0.4)

    assert time.monotonic() - began < 1.5
    await eventually(lambda: 901 in pair[0].log().keys("cancelled"))


async def test_a_caller_that_goes_away_cancels_down_to_triton(caller: MeshClient, pair: tuple[Server, Server]) -> None:
    calling = asyncio.create_task(caller.infer("Shop.works", {"key": 902, "seconds": 5.0}))
    await eventually(lambda: 902 in pair[0].log().keys("ran"))
    calling.cancel()

    await eventually(lambda: 902 in pair[0].log().keys("cancelled"))
    assert (await asyncio.gather(calling, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_a_stream_gives_its_answers_one_by_one(caller: MeshClient) -> None:
    began, times = time.monotonic(), []
    async with caller.stream("Shop.counts", {"n": 4, "seconds": 0.15}) as answers:
        said = []
        async for answer in answers:
            said.append(answer.text("result").tolist()[0])
            times.append(time.monotonic() - began)

    assert said == ["number 0", "number 1", "number 2", "number 3"]
    assert times[3] - times[0] > 0.3


async def test_a_stream_that_breaks_says_why_after_what_it_gave(caller: MeshClient) -> None:
    async with caller.stream("Shop.counts", {"n": 3}) as answers:
        said = [(await anext(answers)).text("result").tolist()[0] for _ in range(3)]
        with pytest.raises(ReplicaError, match="RuntimeError: no more"):
            await anext(answers)

    assert said == ["number 0", "number 1", "number 2"]


async def test_a_stream_that_is_left_ends_the_generator(caller: MeshClient) -> None:
    import sys

    async with caller.stream("Shop.counts", {"n": 50, "seconds": 0.05}) as answers:
        async for _ in answers:
            break

    await eventually(lambda: 50 in sys.modules["shop"].seen)


async def test_what_answers_once_answers_in_a_stream_too(mesh: Mesh) -> None:
    async with stub(mesh.address) as face, Talk(face) as talk:
        for number in ("1", "2"):
            await talk.say(infer_request("Shop", number, x=[float(number)]))
        answers = [await talk.hear() for _ in range(2)]

    assert sorted(answer.infer_response.id for answer in answers) == ["1", "2"]


async def test_what_streams_refuses_a_plain_call(caller: MeshClient) -> None:
    with pytest.raises(Unsupported, match="answers with a stream"):
        await caller.infer("Shop.counts", {"n": 1})


async def test_an_argument_that_travels_as_json_may_be_given_as_the_lists_it_is(caller: MeshClient) -> None:
    items = [{"price": 1.5}, {"price": np.float32(2)}]
    for given in (items, json.dumps([{"price": 3.5}])):
        assert (await caller.infer("Shop.items", {"items": given})).result.tolist() == [3.5]
    assert (await caller.metadata("Shop.items")).inputs[0].json
    assert not any(spec.json for spec in (await caller.metadata("Shop")).inputs)


async def test_no_more_calls_than_max_ongoing(caller: MeshClient) -> None:
    first = asyncio.create_task(caller.infer("one_at_a_time", {"seconds": 1.0}))
    await asyncio.sleep(0.2)

    with pytest.raises(Exhausted, match="max_ongoing") as raised:
        await caller.infer("one_at_a_time", {"seconds": 0.0}, timeout=0.3)
    assert raised.value.reason == "shed"
    assert (await first).text("result").tolist() == ["done"]
    assert (await caller.infer("one_at_a_time", {"seconds": 0.0})).text("result").tolist() == ["done"]


async def test_statistics_count_answers_and_failures(mesh: Mesh, caller: MeshClient) -> None:
    for _ in range(3):
        await caller.infer("Shop.items", {"items": json.dumps([{"price": 1}]).encode()})
    with pytest.raises(ReplicaError):
        await caller.infer("Shop.fails", {"what": "value"})

    async with stub(mesh.address) as face:
        items = (await face.ModelStatistics(pb.ModelStatisticsRequest(name="Shop.items"))).model_stats[0]
        fails = (await face.ModelStatistics(pb.ModelStatisticsRequest(name="Shop.fails"))).model_stats[0]
    assert (items.inference_count, items.inference_stats.success.count) == (3, 3)
    assert items.inference_stats.success.ns > 0
    assert (fails.inference_count, fails.inference_stats.fail.count) == (0, 1)


async def test_an_unknown_name_and_version_are_told_with_what_there_is(mesh: Mesh, caller: MeshClient) -> None:
    with pytest.raises(ModelNotFound, match=r"did you mean Shop"):
        await caller.infer("Shopp", {"x": 1.0})
    host = mesh.router.pool.groups["Shop"].endpoints.popitem()[1].replica.address
    async with stub(host) as face:
        with pytest.raises(grpc.aio.AioRpcError, match=r"model 'Shop:3' not found; did you mean Shop with version 1\?"):
            await face.ModelInfer(pb.ModelInferRequest(model_name="Shop", model_version="3"))
        ready = await face.ModelReady(pb.ModelReadyRequest(name="Shop.items", version="1"))
        assert ready.ready
        index = await face.RepositoryIndex(pb.RepositoryIndexRequest())
        assert {m.name for m in index.models} >= {"Shop", "Shop.items", "one_at_a_time"}
