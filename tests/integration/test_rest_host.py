"""The Open Inference Protocol over REST at a host itself: services, streams, pipelines' errors, draining."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.services.host.host import Host
from tests.support.host import eventually, running_host, write_app
from tests.support.rest import Rest, rest_of

APP = """
    import asyncio
    from collections.abc import AsyncIterator
    from dataclasses import dataclass
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, service, shape
    from inferloom.services.context import current

    Row = Annotated[npt.NDArray[np.float32], shape(-1)]
    Half = Annotated[npt.NDArray[np.float16], shape(-1)]
    begun = []


    @dataclass
    class Answer:
        total: float
        text: str


    @service
    class Shop:
        async def predict(self, x: Row, factor: float = 1.0) -> Answer:
            return Answer(float(x.sum()) * factor, "sum")

        async def half(self, x: Half) -> Half:
            return x

        async def told(self) -> str:
            return ",".join(sorted(key for key, _ in current.get().metadata))

        async def fails(self, what: str) -> str:
            if what == "model":
                await model("nobody")(x=[1.0])
            raise ValueError("bad luck\\nsecond line")

        async def counts(self, n: int) -> AsyncIterator[str]:
            for i in range(n):
                yield f"number {i}"
                if n > 1000:
                    await asyncio.sleep(0)
            if n == 3:
                raise RuntimeError("no more")


    @service(max_ongoing=1)
    async def waits(seconds: float) -> str:
        begun.append(seconds)
        await asyncio.sleep(seconds)
        return "done"
"""
X = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1.0, 2.5]}
WAITS = {"inputs": [{"name": "seconds", "datatype": "FP64", "shape": [1], "data": [1.0]}]}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with running_host(MemoryRegistry(), write_app(tmp_path / "shop.py", APP)) as host:
        yield host


@pytest.fixture
async def rest(host: Host) -> AsyncIterator[Rest]:
    async with rest_of(f"127.0.0.1:{host.http_port}") as rest:
        yield rest


async def test_the_record_tells_the_port(host: Host) -> None:
    replicas = [replica for model in host.router.registry.catalog.models.values() for replica in model.replicas]

    assert {replica.http_port for replica in replicas} == {host.http_port}
    assert {replica.app_port for replica in replicas} == {0}


async def test_the_server_tells_of_itself(rest: Rest) -> None:
    assert (await rest.get("/v2/health/live")).status == 200
    assert (await rest.get("/v2/health/ready")).status == 200
    assert (await rest.get("/v2")).json["name"] == "inferloom host"
    index = (await rest.post("/v2/repository/index", {"ready": True})).json
    assert {"name": "Shop", "version": "1", "state": "READY"} in index
    assert (await rest.post("/v2/repository/index")).json == index


async def test_a_service_tells_of_itself_as_a_model_does(rest: Rest) -> None:
    assert (await rest.get("/v2/models/Shop")).json == {
        "name": "Shop",
        "versions": ["1"],
        "platform": "inferloom_service",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1]},
            {"name": "factor", "datatype": "FP64", "shape": [1]},
        ],
        "outputs": [
            {"name": "total", "datatype": "FP64", "shape": [1]},
            {"name": "text", "datatype": "BYTES", "shape": [1]},
        ],
    }
    assert (await rest.get("/v2/models/Shop/versions/1/ready")).status == 200
    config = (await rest.get("/v2/models/Shop.counts/config")).json
    assert config["model_transaction_policy"] == {"decoupled": True}
    assert (await rest.get("/v2/models/Nobody/ready")).status == 404
    assert (await rest.get("/v2/models/Shop/versions/7/ready")).status == 404
    assert (await rest.get("/v2/models/Sho")).error.startswith("model 'Sho' not found; did you mean Shop")


async def test_a_service_answers_json_and_counts_it(rest: Rest) -> None:
    body = {"id": "seven", "inputs": [X, {"name": "factor", "datatype": "FP64", "shape": [1], "data": [2]}]}
    answer = await rest.post("/v2/models/Shop/versions/1/infer", body, X_Request_Id="abc")

    assert (answer.status, answer.headers["X-Request-Id"]) == (200, "abc")
    assert answer.json == {
        "id": "seven",
        "model_name": "Shop",
        "model_version": "1",
        "outputs": [
            {"name": "total", "datatype": "FP64", "shape": [1], "data": [7.0]},
            {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["sum"]},
        ],
    }
    (row,) = (await rest.get("/v2/models/Shop/stats")).json["model_stats"]
    assert (row["inference_count"], row["inference_stats"]["success"]["count"]) == (1, 1)
    assert len((await rest.get("/v2/models/stats")).json["model_stats"]) == 6


async def test_binary_tensors_go_both_ways(rest: Rest) -> None:
    halves = np.array([1, 2.5], "<f2").tobytes()
    spec = {"name": "x", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": len(halves)}}
    head = json.dumps({"inputs": [spec], "parameters": {"binary_data_output": True}}).encode()
    answer = await rest.post(
        "/v2/models/Shop.half/infer", head + halves, Inference_Header_Content_Length=str(len(head))
    )

    length = int(answer.headers["Inference-Header-Content-Length"])
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.body[length:] == halves
    assert json.loads(answer.body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 4}
    text = await rest.post("/v2/models/Shop.half/infer", head + halves, Inference_Header_Content_Length="9")
    assert text.status == 400


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_bodies_may_be_compressed(rest: Rest, encoding: str, pack: Any) -> None:
    body = pack(json.dumps({"inputs": [X], "outputs": [{"name": "total"}]}).encode())
    answer = await rest.post("/v2/models/Shop/infer", body, Content_Encoding=encoding, Accept_Encoding=encoding)

    assert (answer.status, answer.headers["Content-Encoding"]) == (200, encoding)
    assert answer.json["outputs"][0]["data"] == [3.5]
    broken = await rest.post("/v2/models/Shop/infer", b"not packed", Content_Encoding=encoding)
    assert broken.status == 400


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v2/models/Shop/infer", b"{", 400, "the body is no JSON"),
        ("/v2/models/Shop/infer", {"inputs": [{**X, "data": [1, "a"]}]}, 400, "inputs[0] 'x'.data[1]: takes FP32"),
        ("/v2/models/Shop/infer", {"inputs": []}, 400, "x"),
        ("/v2/models/Shop/infer", {"inputs": [X], "outputs": [{"name": "no"}]}, 400, "no output 'no'; Shop gives"),
        ("/v2/models/Shap/infer", {"inputs": [X]}, 404, "model 'Shap' not found; did you mean Shop?"),
        ("/v2/models/Shop/versions/2/infer", {"inputs": [X]}, 404, "model 'Shop:2' not found"),
        ("/v2/models/Shop.fails/generate", {"what": "value"}, 500, "ValueError: bad luck"),
        ("/v2/models/Shop.fails/generate", {"what": "model"}, 503, "a call inside it failed"),
        ("/v2/models/Shop.counts/generate", {"n": 2}, 501, "it answered 2 times; use .../generate_stream"),
        ("/v2/models/Shop.counts/infer", {"inputs": []}, 501, "answers with a stream"),
        ("/v2/repository/models/Shop/unload", {}, 403, "RepositoryModelUnload is not passed on by the mesh"),
        ("/v2/models/Shop", {}, 405, "POST /v2/models/Shop: takes GET"),
        ("/v2/models/Shop/info", {}, 404, "the protocol has no such path"),
    ],
)
async def test_errors_have_tritons_form_and_say_what_is_wrong(
    rest: Rest, path: str, body: Any, status: int, said: str
) -> None:
    answer = await rest.post(path, body)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert said in answer.error


async def test_what_generates_answers_once_or_as_events(rest: Rest) -> None:
    once = await rest.post("/v2/models/Shop/generate", {"x": [1, 2.5], "factor": 2.0})
    assert once.json == {"model_name": "Shop", "model_version": "1", "total": 7.0, "text": "sum"}

    stream = await rest.post("/v2/models/Shop.counts/generate_stream", {"n": 3})
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    events = [json.loads(event.removeprefix("data: ")) for event in stream.body.decode().split("\n\n")[:-1]]
    assert [event.get("result") for event in events] == ["number 0", "number 1", "number 2", None]
    assert events[-1] == {"error": "RuntimeError: no more"}
    single = await rest.post("/v2/models/Shop/generate_stream", {"x": [1.0]})
    assert single.body.startswith(b'data: {"model_name":"Shop"')


async def test_a_stream_ends_where_its_caller_goes_away(rest: Rest, host: Host) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://{rest.address}/v2/models/Shop.counts/generate_stream"
        async with session.post(url, data=b'{"n": 1000000000}') as answer:
            assert (await answer.content.readline()).startswith(b"data: ")
            answer.close()
    await eventually(lambda: not host._face.busy)


async def test_a_deadline_is_kept_and_a_bound_too(rest: Rest) -> None:
    late = await rest.post("/v2/models/waits/infer", WAITS, X_Inferloom_Timeout="0.05")
    assert (late.status, late.error) == (504, "'waits' did not answer before the deadline")
    assert (await rest.post("/v2/models/waits/infer", WAITS, grpc_timeout="50m")).status == 504
    odd = await rest.post("/v2/models/waits/infer", WAITS, X_Inferloom_Timeout="soon")
    assert (odd.status, "takes seconds above 0" in odd.error) == (400, True)


async def test_more_than_max_ongoing_is_turned_away_with_when_to_come_again(rest: Rest, host: Host) -> None:
    first = asyncio.create_task(rest.post("/v2/models/waits/infer", WAITS))
    await eventually(lambda: host._face.busy)
    refused = await rest.post("/v2/models/waits/infer", WAITS)
    while refused.status == 200:  # it was first
        refused = await rest.post("/v2/models/waits/infer", WAITS)

    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert "works on 1 calls already" in refused.error
    assert (await first).status in (200, 429)


async def test_headers_travel_as_metadata_and_those_of_http_do_not(rest: Rest) -> None:
    answer = await rest.post("/v2/models/Shop.told/generate", {}, traceparent="00-1", X_Unit="u", Cookie="c=1")

    assert answer.json["result"] == "traceparent,x-unit"


async def test_a_body_above_the_bound_is_refused(tmp_path: Path) -> None:
    app = write_app(tmp_path / "shop.py", APP)
    async with (
        running_host(MemoryRegistry(), app, max_message=1000) as host,
        rest_of(f"127.0.0.1:{host.http_port}") as rest,
    ):
        answer = await rest.post("/v2/models/Shop/infer", b" " * 1001)
        assert (answer.status, answer.error) == (413, "the body exceeds 1000 bytes")


async def test_a_host_that_drains_answers_what_is_under_way(tmp_path: Path) -> None:
    app = write_app(tmp_path / "shop.py", APP)
    async with running_host(MemoryRegistry(), app) as host, rest_of(f"127.0.0.1:{host.http_port}") as rest:
        body = {"inputs": [{"name": "seconds", "datatype": "FP64", "shape": [1], "data": [0.5]}]}
        answering = asyncio.create_task(rest.post("/v2/models/waits/infer", body))
        await eventually(lambda: host._face.busy)
        await host.drain()
        answer = await answering

        assert (answer.status, answer.json["outputs"][0]["data"]) == (200, ["done"])
        assert answer.headers["Connection"] == "close"
