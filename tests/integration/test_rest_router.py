"""The Open Inference Protocol over REST at a router, in front of real Tritons: beside Triton's own REST where both answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferloom.mesh.router.router import RouterSettings
from inferloom.mesh.split import KIND
from inferloom.services.typed.http import HttpFace
from tests.support.host import eventually, running_host, write_app
from tests.support.rest import Answer, Rest, rest_mesh, rest_of, rest_port
from tests.support.router import LOOPBACK, Mesh, Server, running_mesh

APP = """
    from inferloom.sdk import model, service

    echo = model("echo")

    @service
    async def Twice(x: float) -> float:
        out = await echo(x=[[x]])
        return 2 * float(out["y"][0, 0])
"""
X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1.0, 2.5]]}
MODELS = ("echo", "slow", "tokens", "versioned")


@pytest.fixture
async def mesh(pair: tuple[Server, Server]) -> AsyncIterator[Mesh]:
    async with rest_mesh({"a": pair[0], "b": pair[1]}) as mesh:
        yield mesh


@pytest.fixture
async def rest(mesh: Mesh) -> AsyncIterator[Rest]:
    async with rest_port(mesh) as address, rest_of(address) as rest:
        yield rest


async def both(rest: Rest, server: Server, verb: str, path: str, body: Any, **headers: str) -> tuple[Answer, Answer]:
    """The router's answer and Triton's own."""
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    async with rest_of(f"127.0.0.1:{server.http_port}") as triton:
        return await rest.ask(verb, path, sent, **headers), await triton.ask(verb, path, sent, **headers)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/echo/infer", {"inputs": [X]}),
        ("/v2/models/echo/versions/1/infer", {"id": "seven", "inputs": [X], "outputs": [{"name": "y"}]}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "data": [1, 2]}], "parameters": {"word": "a"}}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "data": [float("nan"), float("-inf")]}]}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "shape": [0, 2], "data": []}]}),
        ("/v2/models/echo/infer", {"inputs": [X], "parameters": {"binary_data_output": True}}),
        ("/v2/models/echo/infer", {"inputs": [X], "outputs": [{"name": "y", "parameters": {"classification": 2}}]}),
        ("/v2/models/versioned/versions/2/infer", {"inputs": [X]}),
        ("/v2/models/echo/generate", {"x": [1, 2.5]}),
        ("/v2/models/tokens/generate_stream", {"count": 3, "seconds": 0.0}),
        ("/v2/models/tokens/generate", {"count": 1, "seconds": 0.0}),
        ("/v2/models/tokens/generate", {"count": -1, "seconds": 0.0}),
    ],
)
async def test_models_answer_as_triton_itself(rest: Rest, pair: tuple[Server, Server], path: str, body: Any) -> None:
    ours, triton = await both(rest, pair[0], "POST", path, body)

    assert (ours.status, ours.body) == (triton.status, triton.body)
    for name in ("Content-Type", "Inference-Header-Content-Length"):
        assert ours.headers.get(name) == triton.headers.get(name)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/echo/infer", {"inputs": [{**X, "name": "z"}]}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "datatype": "INT32", "data": [1, 2]}]}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "datatype": "FP16"}]}),
        ("/v2/models/echo/infer", {"inputs": [X], "outputs": [{"name": "no"}]}),
        ("/v2/models/echo/infer", {"inputs": [X], "parameters": {"triton_x": 1}}),
        ("/v2/models/echo/infer", {"inputs": [{**X, "parameters": {"binary_data_size": 400}}]}),
        ("/v2/models/nobody/infer", {"inputs": [X]}),
        ("/v2/models/echo/versions/9/infer", {"inputs": [X]}),
    ],
)
async def test_mistakes_have_tritons_status_and_form(
    rest: Rest, pair: tuple[Server, Server], path: str, body: Any
) -> None:
    ours, triton = await both(rest, pair[0], "POST", path, body)

    assert (ours.status, bool(ours.error)) == (triton.status, bool(triton.error))


@pytest.mark.parametrize("body", [b"{", {}, {"inputs": [{**X, "shape": [1, 3]}]}])
async def test_requests_that_triton_calls_its_own_fault_are_the_callers(rest: Rest, body: Any) -> None:
    assert (await rest.post("/v2/models/echo/infer", body)).status == 400


@pytest.mark.parametrize("path", ["/v2/models/echo", "/v2/models/echo/versions/1", "/v2/models/echo/config"])
async def test_models_tell_of_themselves_as_triton_does(rest: Rest, pair: tuple[Server, Server], path: str) -> None:
    ours, triton = await both(rest, pair[0], "GET", path, None)

    assert (ours.status, triton.status) == (200, 200)
    if path.endswith("config"):
        assert ours.json["input"] == triton.json["input"]
        assert ours.json["dynamic_batching"].keys() == triton.json["dynamic_batching"].keys()
    else:
        assert ours.json == triton.json


async def test_the_mesh_answers_for_all_its_servers(rest: Rest, mesh: Mesh) -> None:
    server = (await rest.get("/v2")).json
    assert (server["name"], "binary_tensor_data" in server["extensions"]) == ("inferloom", True)
    assert (await rest.get("/v2/health/live")).status == 200
    assert (await rest.get("/v2/health/ready")).status == 200
    index = (await rest.post("/v2/repository/index", {"ready": True})).json
    assert {"name": "versioned", "version": "2", "state": "READY"} in index
    assert len(index) == 6
    assert (await rest.get("/v2/models/versioned")).json["versions"] == ["1", "2"]
    assert (await rest.post("/v2/repository/index", {"ready": 1})).error == "ready: takes true or false, got 1"


async def test_statistics_are_summed_over_the_replicas(rest: Rest) -> None:
    before = (await rest.get("/v2/models/versioned/versions/2/stats")).json["model_stats"][0]["inference_count"]
    for _ in range(4):
        assert (await rest.post("/v2/models/versioned/versions/2/infer", {"inputs": [X]})).status == 200
    (row,) = (await rest.get("/v2/models/versioned/versions/2/stats")).json["model_stats"]

    assert row["inference_count"] == before + 4
    assert {row["name"] for row in (await rest.get("/v2/models/stats")).json["model_stats"]} >= set(MODELS)


async def test_readiness_says_why_not(rest: Rest, mesh: Mesh) -> None:
    assert (await rest.get("/v2/models/echo/ready")).status == 200
    assert (await rest.get("/v2/models/versioned/versions/2/ready")).status == 200
    unknown = await rest.get("/v2/models/ecko/ready")
    assert (unknown.status, unknown.error) == (404, "model 'ecko' not found; did you mean echo?")
    for name in "ab":
        await mesh.say(name, problem="its server hangs", state="starting")
    await eventually(lambda: not mesh.router.pool.catalog.models["echo"].ready)
    answer = await rest.get("/v2/models/echo/ready")
    assert (answer.status, "its server hangs" in answer.error) == (400, True)
    assert (await rest.post("/v2/models/echo/infer", {"inputs": [X]})).status == 503


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("POST", "/v2/repository/models/echo/load", 403),
        ("POST", "/v2/repository/models/echo/unload", 403),
        ("GET", "/v2/systemsharedmemory/status", 403),
        ("POST", "/v2/cudasharedmemory/region/r/register", 403),
        ("POST", "/v2/models/echo/trace/setting", 403),
        ("GET", "/v2/logging", 403),
        ("GET", "/v2/models/echo/infer", 405),
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/elsewhere", 404),
        ("GET", "/v2/models/a%0Ab/config", 400),
        ("GET", f"/v2/models/{'a' * 300}/config", 400),
    ],
)
async def test_what_is_not_for_callers_is_refused(rest: Rest, verb: str, path: str, status: int) -> None:
    answer = await rest.ask(verb, path, b"{}" if verb == "POST" else None)

    assert (answer.status, bool(answer.error)) == (status, True)


async def test_the_oldest_version_answers_where_none_is_named(rest: Rest) -> None:
    for path in ("/v2/models/versioned/infer", "/v2/models/versioned/generate"):
        body = {"inputs": [X]} if path.endswith("infer") else {"x": [1.0]}
        assert {(await rest.post(path, body)).json["model_version"] for _ in range(4)} == {"1"}


async def test_what_is_wanted_is_retried_elsewhere_when_a_replica_dies(tmp_path: Path, rest: Rest, mesh: Mesh) -> None:
    for registration in list(mesh.registrations.values()):
        if registration.replica.id == "a":  # nobody listens there
            await registration.update(_moved(registration.replica))
    await eventually(lambda: mesh.endpoint("echo", "a").replica.port == 1)

    answers = [await rest.post("/v2/models/echo/infer", {"inputs": [X]}) for _ in range(10)]
    answers += [await rest.post("/v2/models/echo/generate", {"x": [1.0]}) for _ in range(10)]
    assert {answer.status for answer in answers} == {200}


async def test_what_generates_needs_a_replica_with_a_rest_port(rest: Rest, mesh: Mesh) -> None:
    for name in "ab":
        await mesh.say(name, http_port=0)
    await eventually(lambda: not any(mesh.endpoint("echo", name).replica.http_port for name in "ab"))

    answer = await rest.post("/v2/models/echo/generate", {"x": [1.0]})
    assert (answer.status, answer.error) == (501, "no replica of 'echo' has an HTTP port for it")
    assert (await rest.post("/v2/models/echo/infer", {"inputs": [X]})).status == 200


async def test_a_deadline_ends_a_request(rest: Rest) -> None:
    inputs = [
        {"name": "seconds", "datatype": "FP32", "shape": [1, 1], "data": [2.0]},
        {"name": "key", "datatype": "INT32", "shape": [1, 1], "data": [1]},
    ]
    answer = await rest.post("/v2/models/slow/infer", {"inputs": inputs}, X_Inferloom_Timeout="0.2")

    assert answer.status == 504


async def test_a_split_sends_requests_to_its_arms(rest: Rest, mesh: Mesh) -> None:
    arms = {
        "arms": [{"name": "1", "share": 100}, {"name": "2", "share": 0}],
        "by": "user",
        "overrides": {"tester": "2"},
    }
    await mesh.registry.documents.put(KIND, "versioned", arms)
    await eventually(lambda: "versioned" in mesh.router.splitting.splits)

    for path, body in (("infer", {"inputs": [X]}), ("generate", {"x": [1.0]})):
        shown = [await rest.post(f"/v2/models/versioned/{path}", body, user=user) for user in ("tester", "other")]
        assert [answer.json["model_version"] for answer in shown] == ["2", "1"]
    live = mesh.router.splitting.splits["versioned"]
    assert {arm.name: live.figures.of(arm).codes for arm in live.split.arms} == {"1": {"OK": 2}, "2": {"OK": 2}}


async def test_a_raw_body_fills_the_one_input(rest: Rest, pair: tuple[Server, Server]) -> None:
    body = np.array([1, 2.5, 3], "<f4").tobytes()
    ours, triton = await both(rest, pair[0], "POST", "/v2/models/echo/infer", body, Inference_Header_Content_Length="0")

    assert (ours.status, ours.body) == (triton.status, triton.body)
    several = await rest.post("/v2/models/slow/infer", body, Inference_Header_Content_Length="0")
    assert (several.status, "there is one input, and 'slow' has 2" in several.error) == (400, True)


async def test_headers_reach_the_model(rest: Rest) -> None:
    answer = await rest.post("/v2/models/echo/infer", {"inputs": [X]}, traceparent=f"00-{'1' * 32}-{'2' * 16}-01")

    (said,) = next(each["data"] for each in answer.json["outputs"] if each["name"] == "parameters")
    assert "1" * 32 in json.loads(said)["traceparent"]


async def test_a_service_answers_beside_the_models(tmp_path: Path, mesh: Mesh, rest: Rest) -> None:
    async with running_host(mesh.registry, write_app(tmp_path / "twice.py", APP)):
        await eventually(lambda: "Twice" in mesh.router.pool.groups)
        body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [4.0]}]}
        assert (await rest.post("/v2/models/Twice/infer", body)).json["outputs"][0]["data"] == [8.0]
        assert (await rest.post("/v2/models/Twice/generate", {"x": 4.0})).json["result"] == 8.0
        assert (await rest.get("/v2/models/Twice/ready")).status == 200
        wrong = await rest.post("/v2/models/Twice/infer", {"inputs": [{**body["inputs"][0], "datatype": "BYTES"}]})
        assert wrong.status == 400


async def test_a_token_is_needed_where_the_mesh_needs_one(mesh: Mesh) -> None:
    async with rest_port(mesh, tokens=("s3cret",)) as address, rest_of(address) as rest:
        refused = await rest.get("/v2/models/echo")
        assert (refused.status, refused.error[:22]) == (401, "this mesh needs a toke")
        assert (await rest.get("/v2/models/echo", Authorization="Bearer s3cret")).status == 200
        rebound = await rest.get("/v2", Host="evil.example", Authorization="Bearer s3cret")
        assert (rebound.status, "answers to localhost only" in rebound.error) == (403, True)


async def test_large_tensors_pass(rest: Rest) -> None:
    array = np.zeros((1, 1024 * 1024), "<f4")
    size = {"binary_data_size": array.nbytes}
    spec = {"name": "x", "datatype": "FP32", "shape": list(array.shape), "parameters": size}
    wanted = [{"name": "y", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [spec], "outputs": wanted}).encode()
    answer = await rest.post(
        "/v2/models/echo/infer", head + array.tobytes(), Inference_Header_Content_Length=str(len(head))
    )

    length = int(answer.headers["Inference-Header-Content-Length"])
    assert (answer.status, len(answer.body)) == (200, array.nbytes + length)


async def test_a_body_above_the_bound_is_refused_with_the_bound(mesh: Mesh) -> None:
    face = HttpFace(mesh.router, max_body=1000)
    address = await face.start(LOOPBACK)
    try:
        async with rest_of(str(address)) as rest:
            answer = await rest.post("/v2/models/echo/infer", b" " * 1001)
            assert (answer.status, answer.error) == (413, "the body exceeds 1000 bytes")
            generated = await rest.post("/v2/models/echo/generate", b" " * 1001)
            assert generated.status == 413
    finally:
        await face.close()


async def test_tensors_that_outgrow_the_meshs_bound_are_refused(pair: tuple[Server, Server]) -> None:
    settings = RouterSettings(max_message=100_000)
    async with (
        running_mesh({"a": pair[0]}, settings=settings) as mesh,
        rest_port(mesh) as address,
        rest_of(address) as rest,
    ):
        body = {"inputs": [{**X, "shape": [1, 30_000], "data": [0] * 30_000}]}
        answer = await rest.post("/v2/models/echo/infer", body)
        assert (answer.status, answer.error) == (413, "the tensors exceed 100000 bytes")


async def test_many_at_once_are_answered(rest: Rest) -> None:
    async def one(value: float) -> bool:
        answer = await rest.post("/v2/models/echo/infer", {"inputs": [{**X, "data": [value, 0]}]})
        return bool(answer.json["outputs"][0]["data"][0] == value)

    assert all(await asyncio.gather(*(one(float(value)) for value in range(200))))


def _moved(replica: Any) -> Any:
    return replace(replica, port=1, http_port=1)
