"""Versions of one model side by side, while requests go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tritonclient.utils import InferenceServerException

from inferloom.sidecar.repository import place, remove
from tests.support.models import DATA, ModelServer, model_server, rows


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ModelServer]:
    with model_server(tmp_path) as running:
        yield running


@contextmanager
def asked_all_the_time(server: ModelServer, name: str, version: str) -> Iterator[list[Any]]:
    """Requests one after another from a thread; the list has what came back, errors included."""
    found: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                found.append(server.ask(name, version, X=rows()))
            except InferenceServerException as error:
                found.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def processes(server: ModelServer, name: str) -> dict[str, int]:
    """Version -> process that runs it."""
    start = f"{server.repository / name}/"
    found = {}
    for process in server.processes():
        path = next(argument for argument in process.cmdline() if argument.startswith(start))
        found[path.removeprefix(start).partition("/")[0]] = process.pid
    return found


def test_a_new_version_leaves_the_old_one_running_without_a_gap(server: ModelServer) -> None:
    server.serve(DATA / "iris.onnx", "iris")
    before = processes(server, "iris")
    with asked_all_the_time(server, "iris", "1") as answers:
        server.serve(DATA / "iris.onnx", "iris", "2")
        server.ask("iris", "2", X=rows())
    assert len(answers) > 10
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    after = processes(server, "iris")
    assert set(after) == {"1", "2"}
    assert after["1"] == before["1"]


def test_a_version_that_does_not_load_leaves_the_others_running_without_a_gap(server: ModelServer) -> None:
    server.serve(DATA / "iris.onnx", "iris")
    before = processes(server, "iris")
    broken = server.repository / "iris" / "2"
    broken.mkdir()
    (broken / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes()[:100])
    refused = pytest.raises(InferenceServerException, match="onnxruntime cannot load")
    with asked_all_the_time(server, "iris", "1") as answers, refused:
        server.load("iris")
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert processes(server, "iris") == before


def test_a_version_that_is_removed_goes_and_the_others_stay(server: ModelServer) -> None:
    for version in ("1", "2"):
        place(DATA / "iris.onnx", server.repository, "iris", version)
    server.load("iris")
    with asked_all_the_time(server, "iris", "2") as answers:
        remove(server.repository, "iris", "1")
        server.load("iris")
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    with pytest.raises(InferenceServerException):
        server.ask("iris", "1", X=rows())


def test_each_version_is_described_by_its_own_file(server: ModelServer) -> None:
    place(DATA / "strings.onnx", server.repository, "mixed", "1")
    place(DATA / "vector.onnx", server.repository, "mixed", "2")
    server.load("mixed")
    types = [server.client.get_model_metadata("mixed", version).inputs[0].datatype for version in ("1", "2")]
    assert types == ["BYTES", "FP32"]
