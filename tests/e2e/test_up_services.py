"""`inferloom up app.py`: a service of ten lines, called by gRPC and JSON, edited while it runs, and kept running."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.apps import CLASSIFY, SIZES, app, ask_until, call, hosts, iris, kind_of, post, served
from tests.support.up import DATA, Home, Up, wait_for

PROMISED = 2.0  # seconds from writing a file to its new answer
BACK = 15.0  # seconds until a process that was killed serves again

TWICE = """

@service
class Twice:
    async def predict(self, x: int) -> int:
        return 2 * x
"""

ALONE = f"from inferloom.sdk import service\n{TWICE}"

SEVERAL = """
import os
from inferloom.sdk import service

@service(replicas=2, cpus=3, env={"GREETING": "hello"})
class Tell:
    async def predict(self, name: str) -> str:
        return os.environ.get(name, "")

@service
class Alone:
    async def predict(self) -> int:
        return os.getpid()

    async def shared(self) -> int:
        return os.getpid()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def running(homes: Callable[[], Home], folder: Path) -> Iterator[Up]:
    """A mesh with `Classify` in memory, that tests share."""
    with homes().up(app(folder)) as up:
        yield up


@pytest.fixture
def up(running: Up, folder: Path) -> Iterator[Up]:
    """It, with its file as it was."""
    yield running
    app(folder)
    ask_until(lambda: iris(running), "setosa", 10)


def test_it_is_called_by_grpc_and_by_json_alike(up: Up) -> None:
    assert iris(up) == "setosa"
    assert post(up, "/v1/Classify", {"sizes": SIZES}) == (200, "setosa")
    assert post(up, "/v1/Classify:predict", {"sizes": SIZES}) == (200, "setosa")
    status, answer = post(up, "/v1/Classify", {"sizes": SIZES, "sise": 1})
    assert status == 400
    assert "sise" in answer["message"]


def test_the_lines_to_paste_work(up: Up) -> None:
    assert len(up.curl) == 1
    pasted = up.home.shell(up.curl[0])
    assert pasted.status == 0
    assert set(json.loads(pasted.out)) <= set("abc") or "code" in json.loads(pasted.out)
    assert up.paste[0].startswith("inferloom infer iris ")
    assert up.home.shell(up.paste[0]).status == 0


def test_an_edit_is_answered_by_the_new_code_within_two_seconds_and_no_request_is_lost(up: Up, folder: Path) -> None:
    ended, failures, asked = threading.Event(), list[Exception](), list[str]()

    def ask_on() -> None:
        while not ended.is_set():
            try:
                asked.append(iris(up))
            except Exception as error:
                failures.append(error)

    caller = threading.Thread(target=ask_on)
    caller.start()
    took = []
    try:
        for answer in ("IRIS SETOSA", "Setosa", "iris"):
            app(folder, CLASSIFY.replace('"setosa"', f'"{answer}"'))
            took.append(ask_until(lambda: iris(up), answer, PROMISED))
    finally:
        ended.set()
        caller.join()
    assert failures == []
    assert max(took) < PROMISED
    assert len(asked) > 20


def test_a_file_that_does_not_import_leaves_the_old_code_and_says_so(up: Up, folder: Path) -> None:
    app(folder, CLASSIFY + "\nraise ValueError('not today')\n")
    wait_for(lambda: "not today" in up.err, 10)
    wait_for(lambda: "app.py:16: ValueError: not today; what ran before goes on" in up.err.splitlines(), 10)
    wait_for(lambda: "    raise ValueError('not today')" in up.err.splitlines(), 10)  # and where, as Python shows it
    assert iris(up) == "setosa"
    app(folder, CLASSIFY.replace('"setosa"', '"again"'))
    ask_until(lambda: iris(up), "again", PROMISED)


def test_a_new_service_comes_and_goes_with_the_file_and_the_others_answer_all_the_while(up: Up, folder: Path) -> None:
    app(folder, CLASSIFY + TWICE)
    served(up, "Twice")
    assert call(up, "Twice", {"x": 4}) == {"result": [8]}
    assert iris(up) == "setosa"
    app(folder)
    wait_for(lambda: not up.replicas("Twice"), 20)
    assert iris(up) == "setosa"
    assert "service Twice is new" in up.err
    assert "service Twice is declared no longer" in up.err


def serving(up: Up, name: str) -> list[dict[str, Any]]:
    return [replica for replica in up.replicas(name) if replica["state"] == "REPLICA_STATE_SERVING"]


def lone(up: Up) -> psutil.Process:
    """Its host, once those that a service that came or went has left behind have drained."""
    wait_for(lambda: len(hosts(up)) == 1, BACK)
    (host,) = hosts(up)
    return host


def test_a_killed_host_is_replaced(up: Up) -> None:
    host = lone(up)
    host.kill()
    host.wait(5)
    wait_for(lambda: [p.pid for p in hosts(up)] not in ([], [host.pid]), BACK)
    served(up, "Classify", BACK)
    assert iris(up) == "setosa"


def test_a_host_killed_while_its_file_is_broken_is_back_when_the_file_is_mended(up: Up, folder: Path) -> None:
    app(folder, "import (\n" + CLASSIFY)
    wait_for(lambda: "app.py:1: SyntaxError" in up.err, 10)
    host = lone(up)
    host.kill()
    host.wait(5)
    wait_for(lambda: not serving(up, "Classify"), 10)
    status, answer = post(up, "/v1/Classify", {"sizes": SIZES})
    assert (status, answer["code"]) == (503, 14), answer
    assert "1 registered" in answer["message"], answer
    assert "starting (its process has gone)" in answer["message"], answer
    app(folder)
    served(up, "Classify", BACK)
    assert len(up.replicas("Classify")) == 1
    assert iris(up) == "setosa"


def test_a_service_that_asks_for_replicas_cpus_or_an_environment_has_processes_of_its_own(
    home: Home, tmp_path: Path
) -> None:
    with home.up(app(tmp_path, SEVERAL)) as up:
        assert not home.named("tritonserver")  # no model, no Triton
        assert len(hosts(up, "--only Tell")) == 2
        assert len(up.replicas("Tell")) == 2
        assert kind_of(call(up, "Tell", {"name": "GREETING"})) == "hello"
        assert kind_of(call(up, "Tell", {"name": "OMP_NUM_THREADS"})) == "3"
        (shared,) = hosts(up, "--only Alone")
        assert call(up, "Alone", {}) == call(up, "Alone.shared", {}) == {"result": [shared.pid]}
        app(tmp_path, SEVERAL.replace("replicas=2", "replicas=1"))
        wait_for(lambda: len(up.replicas("Tell")) == 1, 15)
        assert [p.pid for p in hosts(up, "--only Alone")] == [shared.pid]
        assert up.stop() == 0
    assert home.leftovers() == []


def test_a_file_that_does_not_import_is_not_served_at_all(home: Home, tmp_path: Path) -> None:
    done = home.run("up", app(tmp_path, "from inferloom.sdk import service\nimport nothing_like_it\n"))
    assert done.status == 2
    assert done.error == "app.py:2: ModuleNotFoundError: No module named 'nothing_like_it'\n".strip()
    assert home.leftovers() == []


def test_the_http_port_is_a_free_one_where_the_usual_is_taken_unless_it_was_asked_for(
    home: Home, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        with home.up(app(tmp_path)) as up:
            assert not up.http.endswith(":8080")
            assert f"port 8080 is in use, so HTTP is on {up.http}; --http HOST:PORT chooses another" in up.err
            assert post(up, "/v1/Classify", {"sizes": SIZES}) == (200, "setosa")
        done = home.run("up", tmp_path / "app.py", "--http", "127.0.0.1:8080", "--grpc", "127.0.0.1:0")
        assert done.status == 2
        assert done.error == "--http: port 8080 on 127.0.0.1 is in use; choose another"


def test_a_service_is_added_to_a_mesh_of_models_and_removed(home: Home, tmp_path: Path) -> None:
    path = app(tmp_path, CLASSIFY.replace(', source="iris.onnx"', "") + TWICE)
    with home.up(DATA / "iris.onnx") as up:
        assert not up.curl, "what is called by tensors gets a line for them"
        added = up.run("add", path)
        assert added.status == 0, str(added)
        assert added.out.startswith("serving Classify, Twice\ncall it:\n  curl -s http://")
        lines = [line.strip() for line in added.out.splitlines() if "curl" in line]
        twice = next(line for line in lines if "Twice" in line)
        wait_for(lambda: home.shell(twice).out == "0", 5)
        kinds = {entry["name"]: entry["replicas"][0]["kind"] for entry in up.models()}
        assert kinds == {"iris": "model", "Classify": "service", "Twice": "service"}
        assert "service" in up.run("models", "--once").out
        removed = up.run("remove", "Twice")
        assert (removed.status, removed.out) == (0, "removed Twice\n")
        assert up.replicas("Twice") == []
        assert iris(up) == "setosa"
        assert "there is no model 'Twice'" in up.run("remove", "Twice").error
        assert up.run("remove", "Classify").status == 0
        wait_for(lambda: not hosts(up), 10)


def test_what_cannot_be_served_is_not_added(home: Home, tmp_path: Path) -> None:
    failing = CLASSIFY.replace(
        '    """The kind', '    def __init__(self):\n        raise OSError("no disk")\n\n    """The kind'
    )
    with home.up(DATA / "iris.onnx") as up:
        done = up.run("add", app(tmp_path, failing.replace(', source="iris.onnx"', "")))
        assert done.status == 2
        assert "no disk" in done.error
        assert [entry["name"] for entry in up.models() if entry["replicas"]] == ["iris"]
        wait_for(lambda: not hosts(up), 10)
        taken = up.run(
            "add",
            app(tmp_path, TWICE.replace("Twice", "iris").replace("\n\n@", "from inferloom.sdk import service\n@")),
        )
        assert taken.error == "service 'iris': the mesh has a model of this name; rename one"


MESH = """
- kind: model
  name: iris
  spec: {source: iris.onnx}
- kind: service
  name: Classify
  spec: {source: app.py, replicas: 2, env: {KIND: "of mesh.yaml"}}
- kind: mesh
  name: shop
  spec: {http: "127.0.0.1:0"}
"""


def test_a_mesh_yaml_names_services_and_what_is_added_is_there_again_at_the_next_start(
    home: Home, tmp_path: Path
) -> None:
    app(tmp_path)
    other = app(tmp_path / "other", ALONE, "twice.py")
    (tmp_path / "mesh.yaml").write_text(MESH)
    with home.up(tmp_path) as up:
        assert len(up.replicas("Classify")) == 2
        assert iris(up) == "setosa"
        assert up.run("add", other).status == 0
        assert up.stop() == 0
    assert "Twice" in (tmp_path / "mesh.applied.yaml").read_text()
    with home.up(tmp_path) as up:
        assert call(up, "Twice", {"x": 3}) == {"result": [6]}
        assert up.run("remove", "Twice").status == 0
        wait_for(lambda: not (tmp_path / "mesh.applied.yaml").exists(), 5)
        assert up.stop() == 0
    assert home.leftovers() == []


def test_a_mesh_yaml_that_names_a_service_its_file_does_not_declare_says_which_there_are(
    home: Home, tmp_path: Path
) -> None:
    app(tmp_path)
    (tmp_path / "mesh.yaml").write_text("- {kind: service, name: Clasify, spec: {source: app.py}}\n")
    done = home.run("up", tmp_path)
    assert done.status == 2
    assert "mesh.yaml:1: service 'Clasify': " in done.error
    assert done.error.endswith("declares no such service; did you mean 'Classify'?")


def test_on_consul_each_service_is_a_process_of_its_own_edited_and_replaced_alike(home: Home, tmp_path: Path) -> None:
    path = app(tmp_path, CLASSIFY + TWICE)
    with home.up(path, "--registry", "consul") as up:
        assert len(hosts(up, "--only Classify")) == len(hosts(up, "--only Twice")) == 1
        assert iris(up) == "setosa"
        assert post(up, "/v1/Twice", {"x": 4}) == (200, 8)
        app(tmp_path, CLASSIFY.replace('"setosa"', '"edited"') + TWICE)
        assert ask_until(lambda: iris(up), "edited", PROMISED) < PROMISED
        (host,) = hosts(up, "--only Classify")
        ports = {replica["port"] for replica in up.replicas("Classify")}
        host.kill()
        wait_for(lambda: [p.pid for p in hosts(up, "--only Classify")] not in ([], [host.pid]), BACK)
        # Consul lists the killed one as serving until its check fails: the new one is that on another port.
        wait_for(lambda: any(r["healthy"] and r["port"] not in ports for r in serving(up, "Classify")), BACK)
        ask_until(lambda: iris(up), "edited", BACK)
        assert call(up, "Twice", {"x": 4}) == {"result": [8]}
        assert up.stop() == 0
    assert home.leftovers() == []
