"""A beginner's mistakes: one clear line each, the right exit status, nothing left running, and docs/mistakes.md says so."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from inferloom.mesh.listen import free_port
from tests.e2e.mistakes import MISTAKES, Mistake, Scene, page
from tests.support.up import DATA, Home, Up

PAGE = Path(__file__).parents[2] / "docs" / "mistakes.md"
WIDE = """
class Wide:
    inputs = {"x": "FP32[1,-1]"}
    outputs = {"y": "FP32[1,-1]"}

    def predict(self, x):
        return x[:, :1]
"""


@pytest.fixture(scope="module")
def running(homes: Callable[[], Home]) -> Iterator[Up]:
    """A mesh that serves iris and wide, and the files that calls to it name."""
    home = homes()
    folder = home.state.parent / "served"
    folder.mkdir()
    (folder / "wide.py").write_text(WIDE)
    documents = {"iris": DATA / "iris.onnx", "wide": "wide.py"}
    text = "".join(f"- {{kind: model, name: {name}, spec: {{source: {path}}}}}\n" for name, path in documents.items())
    (folder / "mesh.yaml").write_text(text)
    for name in ("iris", "vector"):
        (home.here / f"{name}.onnx").write_bytes((DATA / f"{name}.onnx").read_bytes())
    np.save(home.here / "large.npy", np.zeros((1, 20_000_000), np.float32))
    with home.up(folder, environ={"CUDA_VISIBLE_DEVICES": ""}) as up:
        yield up


@pytest.fixture(scope="module")
def alone(homes: Callable[[], Home]) -> Home:
    home = homes()
    for name in ("iris", "vector"):
        (home.here / f"{name}.onnx").write_bytes((DATA / f"{name}.onnx").read_bytes())
    return home


@pytest.mark.parametrize("mistake", MISTAKES, ids=[f"{m.command.split()[1]}-{m.what}" for m in MISTAKES])
def test_a_mistake_gets_one_clear_line(mistake: Mistake, alone: Home, request: pytest.FixtureRequest) -> None:
    up: Up | None = None
    if mistake.scene in (Scene.MESH, Scene.ANOTHER_MESH):
        up = request.getfixturevalue("running")
    home = up.home if up is not None and mistake.scene is Scene.MESH else alone
    for name, content in mistake.files.items():
        write(home.here / name, content)
    before = home.processes()
    with ExitStack() as stack:
        words = shlex.split(mistake.command)[1:]
        port = stack.enter_context(port_of(mistake.scene, up))
        words = [re.sub(r"127\.0\.0\.1:(8081|8500)", f"127.0.0.1:{port}", word) for word in words]
        if words[0] == "up" and "--grpc" not in words:
            taken = mistake.scene in (Scene.PORT_TAKEN, Scene.GRPC_SERVER, Scene.ANOTHER_MESH)
            words += ["--grpc", f"127.0.0.1:{port if taken else 0}"]
        done = home.run(*words, environ=mistake.environ)
    lines = done.err.splitlines()
    assert lines, str(done)
    said = lines[-1].replace(f"127.0.0.1:{port}", "127.0.0.1:8081" if "8081" in mistake.says else "127.0.0.1:8500")
    said = said.replace(f"port {port} ", "port 8081 ").replace(str(home.here), "HERE")
    assert said == f"inferloom: {mistake.says}", str(done)
    assert done.status == mistake.status
    assert done.out == ""
    assert all(is_progress(line) for line in lines[:-1]), str(done)
    assert home.processes() == before
    assert home is not alone or not [left for left in home.leftovers() if "current folder" not in left]


def test_the_page_of_mistakes_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "python -m tests.e2e.mistakes > docs/mistakes.md"
    assert len(MISTAKES) >= 20


def is_progress(line: str) -> bool:
    return line.startswith(("waiting for ", "asking ", "starting ", "installing the Triton runtime, once: ", "folder "))


def write(path: Path, content: str | bytes) -> None:
    """Make one file of a mistake."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str) and content.startswith("="):
        name, _, size = content[1:].partition(":")
        content = (DATA / name).read_bytes()[: int(size) if size else None]
    path.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def port_of(scene: Scene, up: Up | None) -> Iterator[int]:
    """A port of this machine: free, or taken as the scene says."""
    if scene is Scene.PORT_TAKEN:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]
    elif scene is Scene.GRPC_SERVER:
        shared = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 1)])
        port = shared.add_insecure_port("127.0.0.1:0")
        shared.start()
        yield port
        shared.stop(None).wait()
    elif scene is Scene.ANOTHER_MESH and up is not None:
        yield int(up.address.rpartition(":")[2])
    else:
        yield free_port()
