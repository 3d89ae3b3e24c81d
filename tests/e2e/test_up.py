"""`inferloom up iris.onnx`: one command, any client of Triton, and nothing left afterwards."""

from __future__ import annotations

import asyncio
import queue
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException

from inferloom.sdk import SyncMeshClient
from tests.e2e.callers import ROW, Callers, ask, tensor
from tests.support.models import EXPECTED
from tests.support.up import DATA, Home, Up, wait_for

ROWS = EXPECTED["rows"]
LABELS = EXPECTED["logistic"]["label"]

SLOW = """
import time


class Slow:
    inputs = {"x": "FP32[-1,1]"}
    outputs = {"y": "FP32[-1,1]"}

    def predict(self, x):
        time.sleep(float(x[0, 0]))
        return x
"""


def test_a_bare_file_is_served_and_the_line_to_paste_works(home: Home) -> None:
    with home.up(DATA / "iris.onnx") as up:
        assert up.out.startswith("ready grpc=127.0.0.1:")
        assert up.paste == [f"inferloom infer iris --input 'X=[[0.0,0.0,0.0,0.0]]' --mesh {up.address}"]
        pasted = home.shell(up.paste[0])
        assert (pasted.status, pasted.err) == (0, "")
        assert "probabilities" in pasted.out
        assert up.stop() == 0
    assert home.leftovers() == []
    assert "Traceback" not in up.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_request_in_flight_finish_and_leaves_nothing(home: Home, number: int, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    answers: list[Any] = []
    with home.up(tmp_path / "slow.py") as up:
        caller = threading.Thread(target=lambda: answers.append(ask(up.address, "slow", [tensor("x", [[2.0]])])))
        caller.start()
        time.sleep(0.7)
        began = time.monotonic()
        assert up.stop(number) == 0
        assert time.monotonic() - began < 8
        caller.join()
    assert [float(answer.as_numpy("y")[0, 0]) for answer in answers] == [2.0]
    assert home.leftovers() == []


def test_a_second_signal_ends_it_at_once_and_leaves_no_process(home: Home, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    with home.up(tmp_path / "slow.py") as up, Callers(up.address, "slow", [tensor("x", [[5.0]])], callers=1):
        time.sleep(0.7)
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(2) == 130
    wait_for(lambda: not home.processes(), 5, lambda: str(home.leftovers()))


def test_a_signal_before_it_is_ready_ends_it_with_0_and_leaves_nothing(home: Home) -> None:
    with home.up(DATA / "iris.onnx", wait=False) as up:
        wait_for(lambda: home.named("tritonserver"), 30)
        assert up.stop() == 0
    assert home.leftovers() == []
    assert up.out == ""


def test_tritonclient_calls_it_unchanged(mesh: Up) -> None:
    client = InferenceServerClient(mesh.address)
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("iris")
        assert [tensor.name for tensor in client.get_model_metadata("iris").inputs] == ["X"]
        assert client.get_model_config("iris").config.name == "iris"
        assert [model.name for model in client.get_model_repository_index().models] == ["iris"]
        answer = client.infer("iris", [tensor("X", ROWS)])
        assert answer.as_numpy("label").ravel().tolist() == LABELS
        statistics = client.get_inference_statistics  # counted a moment after the answer
        wait_for(lambda: statistics("iris").model_stats[0].inference_count >= len(ROWS), 5)
    finally:
        client.close()


async def test_the_async_tritonclient_calls_it_unchanged(mesh: Up) -> None:
    async with triton_aio.InferenceServerClient(mesh.address) as client:
        answers = await asyncio.gather(*(client.infer("iris", [tensor("X", ROWS)]) for _ in range(20)))
    assert all(answer.as_numpy("label").ravel().tolist() == LABELS for answer in answers)


def test_tritonclient_streams_and_one_bad_message_does_not_end_the_stream(mesh: Up) -> None:
    found: queue.Queue[Any] = queue.Queue()
    client = InferenceServerClient(mesh.address)
    try:
        client.start_stream(lambda result, error: found.put(error or result))
        for name in ("X", "nothing", "X"):
            client.async_stream_infer("iris", [tensor(name, ROWS)])
        first, second, third = (found.get(timeout=20) for _ in range(3))
    finally:
        client.stop_stream()
        client.close()
    assert isinstance(second, InferenceServerException)
    assert [result.as_numpy("label").ravel().tolist() for result in (first, third)] == [LABELS, LABELS]


def test_the_sdk_calls_it(mesh: Up) -> None:
    with SyncMeshClient(mesh.address) as client:
        assert np.asarray(client.infer("iris", {"X": ROWS}).label).ravel().tolist() == LABELS


def test_a_message_over_the_bound_is_refused_and_the_connection_lives_on(mesh: Up) -> None:
    client = InferenceServerClient(mesh.address)
    try:
        with pytest.raises(InferenceServerException) as refused:
            client.infer("iris", [tensor("X", np.zeros((4_200_000, 4)))])
        assert refused.value.status() == "StatusCode.RESOURCE_EXHAUSTED"
        assert client.infer("iris", [tensor("X", [ROW])]).as_numpy("label").shape == (1, 1)
    finally:
        client.close()


def test_nobody_else_may_change_it(mesh: Up, home: Home) -> None:
    done = home.run("remove", "iris", "--mesh", mesh.address)
    assert done.status != 0
    assert "token" in done.error
    assert mesh.run("infer", "iris", "--input", "X=[[1,2,3,4]]").status == 0


def test_two_meshes_run_side_by_side(mesh: Up) -> None:
    home = mesh.home
    with home.up(DATA / "strings.onnx") as other:
        assert other.address != mesh.address
        assert [up.run("infer", "iris", "-i", "X=[[1,2,3,4]]").status for up in (mesh, other)] == [0, 2]
        assert [up.run("infer", "strings", "-i", "x=hi").status for up in (mesh, other)] == [2, 0]
        unnamed = home.run("models")
        assert unnamed.status == 2
        assert unnamed.error.startswith("several meshes run here: name one with --mesh (")
        assert other.address in unnamed.error
        assert other.stop() == 0
    assert home.run("models", "--once").status == 0


def test_models_of_a_folder_have_the_replicas_asked_for_and_a_killed_one_costs_nothing(
    home: Home, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("iris", "strings"):
        shutil.copy(DATA / f"{name}.onnx", folder)
    (folder / "notes.txt").write_text("not a model")
    with home.up(folder, "--replicas", "2") as up:
        assert "left out, no models: notes.txt" in up.err
        assert len(up.paste) == 2
        assert len(home.named("tritonserver", "--model-repository")) == 2
        with Callers(up.address) as callers:
            callers.after(20)
            victim = home.named("tritonserver", "--model-repository")[0]
            victim.kill()
            callers.after(100)
            wait_for(lambda: len(serving(up, "iris")) == 2, 20)
        assert not callers.failures, repr(callers)
        assert up.stop() == 0
    assert home.leftovers() == []


def serving(up: Up, model: str) -> list[str]:
    """The replicas of a model that serve, as `inferloom models` tells."""
    return [replica["id"] for replica in up.replicas(model) if replica["state"] == "REPLICA_STATE_SERVING"]
