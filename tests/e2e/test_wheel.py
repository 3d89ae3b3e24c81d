"""The built wheel, in an empty environment and an empty folder: what the README and the pages beside it promise."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from inferloom.sdk import SyncMeshClient
from tests.docs.page import read_page
from tests.support.apps import SIZES, app, ask_until, call, hosts, post, served
from tests.support.up import DATA, Home, Up, wait_for

ROOT = Path(__file__).parents[2]
MOST = 190  # MB that the installation may add
PROMISED = 2.0  # seconds from writing a file to its new answer
BACK = 20.0  # seconds until a Triton that was killed serves again
WAIT = 0.3  # seconds for which the ensemble waits
LATEST = 1.5  # seconds an answer of it may take where a member is late and the machine is busy

README = read_page(ROOT / "README.md").blocks
(APP,) = (block.text for block in README if block.title == "app.py")
(CURL,) = (block.text.strip() for block in README if "/v1/Classify" in block.text)
(CLIENT,) = (block.text for block in README if block.text.startswith("from inferloom.sdk import SyncMeshClient"))

UNIT = """
from app import Classify, iris

SIZES = [5.1, 3.5, 1.4, 0.2]


def test_the_label_is_the_answer():
    assert Classify.run_local(sizes=SIZES, handles={"iris": lambda X: {"label": [[2]]}}) == 2


def test_the_model_is_replaced():
    with iris.replaced(lambda X: {"label": [[int(X.shape == (1, 4))]]}):
        assert Classify.run_local(sizes=SIZES) == 1


test_the_label_is_the_answer()
test_the_model_is_replaced()
"""

VOTE = """
from typing import Annotated

import numpy as np
import numpy.typing as npt

from inferloom.sdk import Outputs, model, pipeline, shape, vote

a, b, c = (model(name, source="iris.onnx") for name in "abc")


@pipeline("kind", timeout="5s")
def kind(sizes: Annotated[npt.NDArray[np.float32], shape(-1, 4)]) -> Outputs:
    votes = vote(a(X=sizes), b(X=sizes), c(X=sizes), output="label", quorum=2, wait="300ms")
    return Outputs(label=votes.label, share=votes.share)
"""

# The model that needs three Tritons makes three, and the members lie on one each.
MESH = """
- {kind: model, name: a, spec: {source: iris.onnx}}
- {kind: model, name: b, spec: {source: iris.onnx}}
- {kind: model, name: c, spec: {source: iris.onnx}}
- {kind: model, name: iris, spec: {source: iris.onnx, replicas: 3}}
- {kind: app, name: app, spec: {source: app.py}}
"""

UNFIT = """
kind: pipeline
name: kind
spec:
  inputs: {sizes: "FP32 [-1,4]"}
  outputs: {label: votes.label}
  nodes:
    votes:
      ensemble:
        combine: vote
        quorum: 3
        members:
          a: {model: a, inputs: {X: input.sizes}}
          b: {model: bb, inputs: {X: input.sizes}}
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with nothing but the wheel and what it needs."""

    folder: Path
    added: float  # MB
    seconds: float

    @property
    def command(self) -> list[str]:
        return [str(self.folder / "bin" / "inferloom")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("inferloom-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    before, began = megabytes(folder), time.monotonic()
    assert README[0].text.strip() == "pip install inferloom"  # as here, but for the wheel in the name's place
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    pip += ["-c", str(ROOT / "constraints.txt"), str(wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(folder, megabytes(folder) - before, time.monotonic() - began)


@pytest.fixture(scope="module")
def empty(installed: Installed, homes: Callable[[], Home]) -> Callable[[], Home]:
    """Makes homes whose command is the installed one."""

    def make() -> Home:
        home = homes()
        home.command = installed.command
        return home

    return make


@pytest.fixture(scope="module")
def up(empty: Callable[[], Home]) -> Iterator[Up]:
    """`inferloom up app.py` with the service of the README."""
    home = empty()
    app(home.here, APP)
    with home.up("app.py", "--http", "127.0.0.1:0") as up:
        yield up
        assert up.stop() == 0
    assert "Traceback" not in up.err


def test_the_wheel_has_every_part_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[1] for name in names if name.startswith("inferloom/")} >= {
        "v1",
        "mesh",
        "services",
        "sidecar",
        "cli",
        "sdk",
    }
    assert not [name for name in names if not name.startswith(("inferloom/", "inferloom-"))]
    assert any(name.endswith("backends/onnxruntime/model.py") for name in names)
    assert any(name.endswith("pins/core.txt") for name in names)
    assert {f"inferloom/services/typed/page/docs.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert {f"inferloom/v1/{name}.proto" for name in ("graph", "mesh", "typed")} <= set(names)


def test_the_installation_is_small(installed: Installed) -> None:
    print(f"pip install added {installed.added:.0f} MB in {installed.seconds:.0f} s")
    assert installed.added <= MOST


def test_it_serves_a_bare_file_and_the_line_to_paste_works(empty: Callable[[], Home]) -> None:
    home = empty()
    (home.here / "iris.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    with home.up("iris.onnx") as up:
        pasted = home.shell(up.paste[0])
        assert pasted.status == 0, str(pasted)
        assert "probabilities" in pasted.out
        assert up.stop() == 0
    assert home.leftovers() == ["in the current folder: iris.onnx"]


def test_a_service_of_ten_lines_is_called_by_json_and_by_grpc(up: Up, installed: Installed) -> None:
    assert len(APP.strip().splitlines()) <= 12
    asked = up.home.shell(CURL.replace("127.0.0.1:8080", up.http))
    assert (asked.status, asked.out) == (0, "0"), str(asked)
    assert call(up, "Classify", {"sizes": SIZES}) == {"result": [0]}
    assert "result" in up.run("infer", "Classify", "-i", f"sizes={SIZES}").out
    (up.home.here / "client.py").write_text(CLIENT)
    told = python(up.home, installed, "client.py", up.address)
    assert re.match(r"\[\[0\]\] \[\[9\.847\d*e-01 ", told), told
    for path, part in (("/docs", "<title>inferloom</title>"), ("/openapi.json", '"/v1/Classify"')):
        assert part in up.home.shell(f"curl -s http://{up.http}{path}").out


def test_it_is_tested_without_a_mesh(up: Up, installed: Installed) -> None:
    (up.home.here / "test_app.py").write_text(UNIT)
    assert python(up.home, installed, "test_app.py", "127.0.0.1:9") == ""  # nobody listens there


def test_an_edit_is_answered_by_the_new_code_within_two_seconds(up: Up) -> None:
    app(up.home.here, APP.replace("return int(", "return 100 + int("))
    assert ask_until(lambda: call(up, "Classify", {"sizes": SIZES}), {"result": [100]}, PROMISED) < PROMISED
    assert post(up, "/v1/Classify", {"sizes": SIZES}) == (200, 100)
    app(up.home.here, APP)
    ask_until(lambda: call(up, "Classify", {"sizes": SIZES}), {"result": [0]}, PROMISED)


def test_a_version_gets_its_share_of_the_users_and_it_is_taken_back(up: Up) -> None:
    labels = (up.home.here / "iris.onnx").read_bytes()
    assert labels.count(b"@\0@\1@\2") == 1
    (up.home.here / "iris-v2.onnx").write_bytes(
        labels.replace(b"@\0@\1@\2", b"@\2@\1@\0")
    )  # its label of a setosa is 2
    assert up.run("add", "iris-v2.onnx", "--as", "iris:2").status == 0
    assert set(kinds(up)) == {0}  # added, and nobody moved
    split(up, "1=90", "2=10", "--by", "user")
    wait_for(lambda: 2 in kinds(up), 5)
    before = figures(up)
    shared = kinds(up)
    assert kinds(up) == shared  # a user keeps the version
    assert 0 < shared.count(2) < 30
    after = figures(up)
    assert [after[arm] - before[arm] for arm in "12"] == [2 * shared.count(0), 2 * shared.count(2)]
    assert "no split any more" in split(up, "--undo")
    wait_for(lambda: set(kinds(up)) == {0}, 5)


def test_a_mirror_is_compared_with_the_real_answers_and_gives_none(up: Up) -> None:
    assert up.run("split", "iris", "1=100", "--mirror", "2=100").status == 0

    def compared() -> dict[str, Any]:
        assert set(kinds(up)) == {0}
        found: dict[str, Any] = arms(up)["2"].get("compared", {})
        return found

    wait_for(lambda: int(compared().get("differed", 0)) > 0, 10)
    told = arms(up)["2"]
    assert int(told["compared"]["agreed"]) == 0
    assert told["compared"]["difference"]["max"] == 2.0  # between the labels 0 and 2
    table = split(up)
    assert "mirror 100 %" in table
    assert "0.0% of" in table
    split(up, "--remove")


def test_an_ensemble_that_votes_is_checked_and_outlives_a_late_and_a_dead_member(empty: Callable[[], Home]) -> None:
    home = empty()
    path = app(home.here, VOTE)
    (home.here / "mesh.yaml").write_text(MESH)
    with home.up(".", "--reload", "--http", "127.0.0.1:0") as up, SyncMeshClient(up.address) as mesh:

        def ask() -> tuple[dict[str, Any], float]:
            began = time.monotonic()
            answer = mesh.infer("kind", {"sizes": [SIZES]}, timeout=10)
            assert answer.label.tolist() == [[0]]
            return answer.parameters, time.monotonic() - began

        assert ask()[0]["votes.answered"] == "a,b,c"
        assert post(up, "/v1/kind", {"sizes": [SIZES]}) == (200, {"label": [[0]], "share": [[1.0]]})
        assert "vote of 3, by label, quorum 2, wait 300ms" in up.run("get", "pipeline", "kind").out

        (home.here / "unfit.yaml").write_text(UNFIT)
        for command in ("check", "apply"):
            refused = up.run(command, "unfit.yaml")
            assert refused.status == 2
            assert "no model 'bb' in the catalog; did you mean 'b'?" in refused.err
            assert "quorum: 3 of 2 members; it is at most 2" in refused.err
        path.write_text(VOTE.replace('output="label"', 'output="lable"'))
        wait_for(lambda: "did you mean 'label'?" in up.err, 10, lambda: up.err)
        path.write_text(VOTE)
        assert ask()[0]["votes.answered"] == "a,b,c"

        triton = triton_of(up, "c")
        triton.send_signal(signal.SIGSTOP)
        noted, took = list[dict[str, Any]](), list[float]()
        try:
            while not noted or "votes.failed" not in noted[-1]:  # until it is out of routing
                told, seconds = ask()
                noted.append(told)
                took.append(seconds)
                assert sum(took) < BACK, noted
        finally:
            triton.send_signal(signal.SIGCONT)
        assert noted[0]["votes.late"] == "c"
        assert all(told["votes.answered"] in ("a,b", "b,a") for told in noted)
        assert took[0] >= WAIT
        assert max(took) < LATEST, took
        wait_for(lambda: ask()[0]["votes.answered"] == "a,b,c", BACK)

        triton.kill()
        wait_for(lambda: ask()[0].get("votes.failed") == "c", 5)
        wait_for(lambda: ask()[0]["votes.answered"] == "a,b,c", BACK)
        assert up.stop() == 0
    assert "Traceback" not in up.err


def test_the_same_file_on_consul_has_each_service_in_replicas_of_its_own(empty: Callable[[], Home]) -> None:
    home = empty()
    app(home.here, APP.replace("@service\n", "@service(replicas=2)\n"))
    with home.up("app.py", "--registry", "consul", "--http", "127.0.0.1:0") as up:
        served(up, "Classify")
        assert len(hosts(up, "--only Classify")) == 2
        assert post(up, "/v1/Classify", {"sizes": SIZES}) == (200, 0)
        assert call(up, "Classify", {"sizes": SIZES}) == {"result": [0]}
        assert up.stop() == 0
    assert "Traceback" not in up.err


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def python(home: Home, installed: Installed, script: str, mesh: str) -> str:
    """What the script prints, run with the installed Python; warnings are errors there."""
    command = [str(installed.folder / "bin" / "python"), "-W", "error", script]
    environment = home.environment() | {"INFERLOOM_MESH": mesh}
    done = subprocess.run(command, cwd=home.here, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def kinds(up: Up) -> list[int]:
    """What the service answers each of fifty users, over HTTP."""
    header = "-H 'Content-Type: application/json'"
    body = json.dumps({"sizes": SIZES})
    urls = " --next ".join(
        f"{header} -H 'user: u{number}' -d '{body}' -s -w '\\n' http://{up.http}/v1/Classify" for number in range(50)
    )
    asked = up.home.shell(f"curl {urls}")
    assert asked.status == 0, str(asked)
    return [int(line) for line in asked.out.split()]


def split(up: Up, *arguments: str) -> str:
    done = up.run("split", "iris", *arguments)
    assert done.status == 0, str(done)
    return done.out


def arms(up: Up) -> dict[str, Any]:
    return {arm["arm"]: arm for arm in json.loads(split(up, "--json"))["arms"]}


def figures(up: Up) -> dict[str, int]:
    """Requests of each arm."""
    return {name: sum(map(int, arm["codes"].values())) for name, arm in arms(up).items()}


def triton_of(up: Up, model: str) -> psutil.Process:
    """The Triton that has its only replica."""
    (replica,) = up.replicas(model)
    (found,) = [p for p in up.home.named("tritonserver/bin/tritonserver", replica["id"]) if "setpriv" not in p.name()]
    return found
