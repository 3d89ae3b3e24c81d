"""`gateway: envoy`: one port for gRPC and HTTP, every client unchanged, models reached with no Python in between."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

from inferloom.sdk import SyncMeshClient
from tests.e2e.callers import ROW, Callers, ask, tensor
from tests.support.apps import hosts, post, served
from tests.support.up import DATA, Home, Up, wait_for

APP = '''
from typing import Annotated

import numpy as np
import numpy.typing as npt
from inferloom.sdk import Outputs, model, pipeline, service, shape, step

Sizes = Annotated[npt.NDArray[np.float32], shape(-1, 4)]
iris = model("iris")
KINDS = ["setosa", "versicolor", "virginica"]


@service(replicas=2, idempotent=True)
class Classify:
    """The kind of a flower, from its four sizes in cm."""

    async def predict(self, sizes: list[float]) -> str:
        out = await iris(X=np.array([sizes], np.float32))
        return KINDS[int(out.label.flat[0])]


@step
def scaled(sizes: Sizes) -> Sizes:
    return sizes * np.float32(1.0)


@pipeline("flowers")
def flowers(sizes: Sizes) -> Outputs:
    return Outputs(label=iris(X=scaled(sizes)).label)
'''

MESH = """
- {kind: mesh, name: shop, spec: {gateway: envoy}}
- {kind: model, name: iris, spec: {source: iris.onnx, replicas: 2}}
- {kind: app, name: app, spec: {source: app.py}}
"""


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copyfile(DATA / "iris.onnx", folder / "iris.onnx")
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "app.py").write_text(APP)
    with homes().up(folder) as up:
        yield up
        assert up.stop() == 0
    assert "Traceback" not in up.err, up.err
    assert "registration is repeated" not in up.err


def role(up: Up, name: str) -> psutil.Process:
    """The process of a role of the gateway."""
    [process] = [p for p in up.home.named("-m", "inferloom.cli", f" {name} ") if "setpriv" not in p.name()]
    return process


def envoy(up: Up) -> psutil.Process:
    [process] = [p for p in up.home.named("--config-path") if p.name() == "envoy"]
    return process


@contextmanager
def frozen(*processes: psutil.Process) -> Iterator[None]:
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


def test_grpc_and_http_are_one_port(up: Up) -> None:
    assert up.http == up.address
    with urllib.request.urlopen(f"http://{up.http}/v2/health/ready", timeout=10) as answer:
        assert answer.status == 200


def test_the_lines_to_paste_work(up: Up) -> None:
    assert up.paste
    assert up.curl
    for line in (*up.paste, *up.curl):
        pasted = up.home.shell(line)
        assert pasted.status == 0, f"{line}\n{pasted}"


def test_models_are_reached_with_no_python_in_between(up: Up) -> None:
    ask(up.address, "iris", [tensor("X", [ROW])])
    with frozen(psutil.Process(up.process.pid), role(up, "control"), role(up, "edge")):
        assert ask(up.address, "iris", [tensor("X", [ROW])], timeout=5.0).as_numpy("label").tolist() == [[0]]


async def test_tritons_grpc_clients_work_unchanged(up: Up) -> None:
    with triton.InferenceServerClient(up.address) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("iris")
        assert client.get_model_metadata("iris").name == "iris"
        assert {entry.name for entry in client.get_model_repository_index().models} >= {"iris", "flowers"}
        assert client.infer("iris", [tensor("X", [ROW])]).as_numpy("label").tolist() == [[0]]
        heard: Queue[Any] = Queue()
        client.start_stream(lambda result, error: heard.put((result, error)))
        for _ in range(3):
            client.async_stream_infer("iris", [tensor("X", [ROW])])
        for _ in range(3):
            result, error = await asyncio.to_thread(heard.get, timeout=10)
            assert error is None
            assert result.as_numpy("label").tolist() == [[0]]
        client.stop_stream()
        with pytest.raises(InferenceServerException, match="model 'irix' not found; did you mean iris"):
            client.infer("irix", [tensor("X", [ROW])])
        with pytest.raises(InferenceServerException) as caught:
            client.unload_model("iris")
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    async with triton_aio.InferenceServerClient(up.address) as client:
        answers = await asyncio.gather(*(client.infer("iris", [tensor("X", [ROW])]) for _ in range(8)))
        assert [answer.as_numpy("label").tolist() for answer in answers] == [[[0]]] * 8


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_http_client_works_unchanged_for_models_and_pipelines(up: Up, binary: bool) -> None:
    with triton_http.InferenceServerClient(up.http) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("iris")
        assert client.get_model_metadata("iris")["name"] == "iris"
        rows = triton_http.InferInput("X", [1, 4], "FP32")
        rows.set_data_from_numpy(np.array([ROW], np.float32), binary_data=binary)
        wanted = [triton_http.InferRequestedOutput("label", binary_data=binary)]
        assert client.infer("iris", [rows], outputs=wanted).as_numpy("label").tolist() == [[0]]
        sizes = triton_http.InferInput("sizes", [1, 4], "FP32")
        sizes.set_data_from_numpy(np.array([ROW], np.float32), binary_data=binary)
        assert client.infer("flowers", [sizes], outputs=wanted).as_numpy("label").tolist() == [[0]]
        with pytest.raises(InferenceServerException, match="irix"):
            client.infer("irix", [rows])


def test_the_meshs_own_client_and_commands_work_unchanged(up: Up) -> None:
    with SyncMeshClient(up.address) as mesh:
        assert mesh.infer("iris", {"X": np.array([ROW], np.float32)})["label"].tolist() == [[0]]
    done = up.run("infer", "iris", "--input", f"X={[ROW]}", "--json")
    assert done.status == 0, str(done)
    assert {entry["name"] for entry in up.models()} >= {"iris", "Classify", "flowers"}


def test_services_and_pipelines_answer_by_json_on_the_same_port(up: Up) -> None:
    assert post(up, "/v1/Classify", {"sizes": ROW}) == (200, "setosa")
    assert post(up, "/v1/flowers", {"sizes": [ROW]}) == (200, {"label": [[0]]})
    assert post(up, "/v1/nobody", {})[0] == 404


def test_a_model_is_called_by_json_a_second_after_it_was_added(up: Up) -> None:
    done = up.run("add", DATA / "iris.onnx", "--as", "second")
    assert done.status == 0, str(done)
    began = time.monotonic()
    while True:
        status, answer = post(up, "/v1/second", {"rows": [{"x": ROW}]})
        if status == 200:
            break
        assert time.monotonic() - began < 1.0, f"{status} {answer}"
        time.sleep(0.02)
    assert ask(up.address, "second", [tensor("X", [ROW])]).as_numpy("label").tolist() == [[0]]
    assert up.run("remove", "second").status == 0
    with pytest.raises(InferenceServerException, match="not found"):
        wait_for(lambda: ask(up.address, "second", [tensor("X", [ROW])]) is None, 10)


def test_documents_are_applied_through_the_edge(up: Up) -> None:
    (up.home.here / "more.yaml").write_text(
        "- kind: pipeline\n  name: again\n  spec:\n    inputs: {X: 'FP32 [-1, 4]'}\n    outputs: {label: kind.label}\n"
        "    nodes:\n      - {name: kind, step: {model: iris, inputs: {X: input.X}}}\n"
    )
    try:
        done = up.run("apply", "more.yaml")
        assert done.status == 0, str(done)
        served(up, "again")
        assert ask(up.address, "again", [tensor("X", [ROW])]).as_numpy("label").tolist() == [[0]]
        assert up.run("delete", "pipeline", "again").status == 0
    finally:
        (up.home.here / "more.yaml").unlink()


def serving(up: Up, model: str) -> int:
    return sum(replica["state"] == "REPLICA_STATE_SERVING" for replica in up.replicas(model))


def tritons(up: Up) -> list[psutil.Process]:
    return [p for p in up.home.processes() if p.name() == "tritonserver"]


def test_no_request_fails_while_a_replica_is_killed_and_comes_back(up: Up) -> None:
    with Callers(up.address) as callers:
        callers.after(50)
        victim = tritons(up)[0]
        victim.kill()
        wait_for(lambda: serving(up, "iris") < 2, 20)
        wait_for(lambda: serving(up, "iris") == 2, 60)
        callers.after(50)
    assert callers.failures == [], callers


def test_no_request_fails_while_a_replica_is_frozen(up: Up) -> None:
    with Callers(up.address) as callers:
        callers.after(50)
        with frozen(tritons(up)[0]):
            wait_for(lambda: serving(up, "iris") < 2, 20)
            callers.after(50)
        wait_for(lambda: serving(up, "iris") == 2, 60)
        callers.after(50)
    assert callers.failures == [], callers


def test_no_request_fails_while_the_control_plane_is_killed_and_comes_back(up: Up) -> None:
    with Callers(up.address) as callers:
        callers.after(50)
        victim = role(up, "control")
        victim.kill()
        wait_for(lambda: any(p.pid != victim.pid for p in up.home.named("inferloom.cli", " control ")), 20)
        callers.after(50)
    assert callers.failures == [], callers


def test_no_request_fails_while_hosts_are_replaced_one_by_one(up: Up) -> None:
    failed: list[Any] = []
    with Callers(up.address) as callers:
        for host in hosts(up, "--only", "Classify"):
            host.send_signal(signal.SIGTERM)
            end = time.monotonic() + 20
            while host.is_running() and host.status() != psutil.STATUS_ZOMBIE and time.monotonic() < end:
                status, answer = post(up, "/v1/Classify", {"sizes": ROW})
                if status != 200:
                    failed.append(answer)
            wait_for(lambda: serving(up, "Classify") == 2, 30)
        callers.after(20)
    assert (callers.failures, failed) == ([], [])


def test_an_envoy_that_dies_is_started_again(up: Up) -> None:
    before = envoy(up).pid
    envoy(up).kill()
    wait_for(lambda: any(p.pid != before and p.name() == "envoy" for p in up.home.named("--config-path")), 20)

    def answers() -> bool:
        try:
            return bool(ask(up.address, "iris", [tensor("X", [ROW])], timeout=1.0).as_numpy("label").tolist() == [[0]])
        except InferenceServerException:
            return False

    wait_for(answers, 20)


def test_without_envoy_it_is_said_before_anything_is_started(home: Home) -> None:
    shutil.copyfile(DATA / "iris.onnx", home.here / "iris.onnx")
    try:
        done = home.run("up", "iris.onnx", "--gateway", "envoy", environ={"ENVOY_BIN": "/nowhere/envoy"})
    finally:
        (home.here / "iris.onnx").unlink()
    assert (done.status, done.err) == (2, "inferloom: ENVOY_BIN: /nowhere/envoy is no program\n")


def test_with_consul_a_router_that_dies_takes_no_model_with_it(home: Home) -> None:
    with home.up(DATA / "iris.onnx", "--registry", "consul", "--gateway", "envoy") as up:
        wait_for(lambda: bool(up.replicas("iris")), 20)
        with Callers(up.address) as callers:
            callers.after(20)
            role(up, "router").kill()
            callers.after(50)
        assert callers.failures == [], callers
        assert up.stop() == 0
    assert home.leftovers(running=True) == []


def test_everything_is_described_on_the_one_port(up: Up) -> None:
    with urllib.request.urlopen(f"http://{up.http}/openapi.json", timeout=10) as answer:
        assert "/v1/Classify" in json.load(answer)["paths"]
    with urllib.request.urlopen(f"http://{up.http}/docs", timeout=10) as answer:
        assert answer.status == 200
