"""`inferloom add` and `remove` on a running mesh, with requests all the while."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from tests.e2e.callers import Callers, ask, tensor
from tests.support.up import DATA, Home, Up, wait_for

# Answers which version it is.
WHICH = """
import numpy as np


class Which:
    inputs = {{"x": "FP32[-1,1]"}}
    outputs = {{"y": "FP32[-1,1]"}}

    def __init__(self):
        {first}

    def predict(self, x):
        return np.full_like(x, {answer})
"""


def which(folder: Path, answer: int, first: str = "pass") -> Path:
    """A model file; `first` is what it does when it is loaded."""
    folder.mkdir(exist_ok=True)
    path = folder / "which.py"
    path.write_text(WHICH.format(answer=answer, first=first))
    return path


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A mesh with version 1 of `which`, which each test leaves with that alone."""
    with homes().up(which(tmp_path_factory.mktemp("which"), 1)) as running:
        yield running


def load(up: Up, version: str = "") -> Callers:
    return Callers(up.address, "which", [tensor("x", [[0]])], output="y", version=version)


def test_an_added_version_takes_no_traffic_unless_it_is_named(up: Up, tmp_path: Path) -> None:
    with load(up) as callers:
        callers.after(20)
        added = up.run("add", which(tmp_path, 2), "--as", "which:2")
        assert added.status == 0, str(added)
        assert "serving which:2\nrequests that name no version go on to version 1\n" in added.out
        callers.after(50)
        pasted = re.findall(r"^  (inferloom infer .*)$", added.out, re.MULTILINE)
        assert "[[2.]]" in up.home.shell(pasted[0]).out
        removed = up.run("remove", "which:2")
        assert (removed.status, removed.out) == (0, "removed which:2\n")
        callers.after(50)
    assert not callers.failures, repr(callers)
    assert set(callers.values) == {1.0}
    with pytest.raises(InferenceServerException, match="did you mean which with version 1"):
        ask(up.address, "which", [tensor("x", [[0]])], "2")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda folder: which(folder, 2, 'raise ValueError("no licence")'),
            "which: version 2: ValueError: no licence",
        ),
        (
            lambda folder: DATA / "vector.onnx",  # its inputs and outputs agree
            "is for backend 'python', and ONNX model needs 'onnxruntime'; versions of one model share a backend",
        ),
        (
            lambda folder: DATA / "iris.onnx",
            "version 1 of 'which' takes x FP32[-1,1], and version 2 (",
        ),
        (
            lambda folder: cut(DATA / "iris.onnx", folder),
            "which.onnx' is not an ONNX model, or is cut short",
        ),
    ],
    ids=["does not load", "other backend", "other input names", "cut short"],
)
def test_a_version_that_cannot_be_served_is_refused_and_nothing_changes(
    up: Up, tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    before = shown(up)
    with load(up) as callers:
        callers.after(20)
        refused = up.run("add", make(tmp_path), "--as", "which:2")
        callers.after(20)
    assert refused.status == 2, str(refused)
    assert why in refused.error
    assert "Traceback" not in refused.err
    assert not callers.failures, repr(callers)
    assert set(callers.values) == {1.0}
    assert shown(up) == before


def test_a_model_that_does_not_load_can_be_corrected_and_added(up: Up, tmp_path: Path) -> None:
    assert up.run("add", which(tmp_path, 5, "undefined"), "--as", "late").status == 2
    assert up.replicas("late") == []
    assert up.run("add", which(tmp_path, 5), "--as", "late").status == 0
    assert ask(up.address, "late", [tensor("x", [[0]])]).as_numpy("y").tolist() == [[5]]
    assert up.run("remove", "late").status == 0
    assert up.replicas("late") == []


def test_an_add_that_is_interrupted_is_taken_back(up: Up, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    source = which(tmp_path, 6, f"open({str(begun)!r}, 'w').close(); __import__('time').sleep(3)")
    home = up.home
    command = [*home.command, "add", str(source), "--as", "forever", "--mesh", up.address]
    process = subprocess.Popen(command, env=home.environment(), cwd=home.here, stderr=subprocess.PIPE, text=True)
    with process:
        wait_for(begun.exists, 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    wait_for(lambda: up.replicas("forever") == [], 15)
    assert shown(up) == {"which": [["1"]]}


def test_a_model_is_added_with_replicas_of_its_own_and_removed_without_a_gap_for_others(up: Up) -> None:
    with load(up) as callers:
        callers.after(20)
        added = up.run("add", DATA / "iris.onnx", "--replicas", "2")
        assert added.status == 0, str(added)
        assert "serving iris:1 on 2 replicas" in added.out
        assert len(up.home.named("tritonserver", "--model-repository")) == 2
        with Callers(up.address) as others:
            others.after(20)
            assert up.run("remove", "iris").status == 0
            wait_for(lambda: others.failures, 5)
        said = {re.sub(r"; \d registered: .*", "", failure.text) for failure in others.failures}
        gone = "StatusCode.NOT_FOUND model 'iris' not found"
        assert said <= {gone, "StatusCode.UNAVAILABLE no replica of 'iris' can be used"}, repr(others)
        callers.after(20)
    assert not callers.failures, repr(callers)
    wait_for(lambda: len(up.home.named("tritonserver", "--model-repository")) == 1, 10)
    assert shown(up) == {"which": [["1"]]}


def test_what_was_added_beside_a_mesh_yaml_is_there_again_after_a_restart(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shutil.copy(DATA / "iris.onnx", folder)
    (folder / "mesh.yaml").write_text("- kind: model\n  name: flower\n  spec: {source: iris.onnx}\n")
    applied = folder / "mesh.applied.yaml"
    with home.up(folder) as up:
        assert shown(up) == {"flower": [["1"]]}
        assert not applied.exists()
        assert up.run("add", DATA / "strings.onnx").status == 0
        assert up.run("add", DATA / "iris.onnx", "--as", "flower:2").status == 0
        wait_for(applied.exists, 5)
        assert up.stop() == 0
    with home.up(folder) as up:
        assert shown(up) == {"flower": [["1", "2"]], "strings": [["1"]]}
        assert up.run("remove", "strings").status == 0
        assert up.run("remove", "flower:2").status == 0
        wait_for(lambda: not applied.exists(), 5)
        assert up.stop() == 0
    assert sorted(path.name for path in folder.iterdir()) == ["iris.onnx", "mesh.yaml"]
    assert home.leftovers() == []


def cut(path: Path, folder: Path) -> Path:
    short = folder / "which.onnx"
    short.write_bytes(path.read_bytes()[:300])
    return short


def shown(up: Up) -> dict[str, list[list[str]]]:
    """Versions by model and replica, once what is being taken away has gone."""
    end = time.monotonic() + 10
    while True:
        found = {model["name"]: model["replicas"] for model in up.models()}
        every = [replica for replicas in found.values() for replica in replicas]
        if all(r["state"] == "REPLICA_STATE_SERVING" and not r["problem"] for r in every) or time.monotonic() > end:
            return {name: [replica["versions"] for replica in replicas] for name, replicas in found.items()}
        time.sleep(0.2)
