"""`inferloom up app.py` with pipelines: an ensemble that votes, checked before it is served, changed while it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apps import SIZES, app, ask_until, call, hosts, post, served
from tests.support.up import Home, Up, wait_for

VOTE = '''
from typing import Annotated

import numpy as np
import numpy.typing as npt

from inferloom.sdk import Outputs, model, pipeline, shape, step, vote

first, second, third = (model(name, source="iris.onnx") for name in ("first", "second", "third"))
Sizes = Annotated[npt.NDArray[np.float32], shape(-1, 4)]


@step
def scaled(sizes: Sizes) -> Sizes:
    return sizes * np.float32(1.0)


@pipeline("flowers")
def flowers(sizes: Sizes) -> Outputs:
    """The kind of each flower, as three models see it."""
    X = scaled(sizes)
    votes = vote(first(X=X).label, second(X=X).label, third(X=X).label, quorum=2, wait="2s")
    return Outputs(label=votes.label, share=votes.share)
'''

GRAPH = """
- {kind: model, name: first, spec: {source: iris.onnx}}
- {kind: model, name: second, spec: {source: iris.onnx}}
- kind: pipeline
  name: flowers
  spec:
    inputs: [{name: sizes, datatype: FP32, shape: [-1, 4]}]
    nodes:
      - {name: scaled, step: {function: "steps:scaled", inputs: {sizes: input.sizes}}}
      - {name: kind, step: {model: first, inputs: {X: scaled}}}
    outputs: [{name: label, source: kind.label}]
"""

STEPS = VOTE[: VOTE.index("@pipeline")]
FLOWERS = [SIZES, [6.7, 3.0, 5.2, 2.3]]
KINDS = [[0], [2]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home], folder: Path) -> Iterator[Up]:
    with homes().up(app(folder, VOTE)) as up:
        yield up


def label(up: Up) -> Any:
    return call(up, "flowers", {"sizes": FLOWERS})["label"]


def test_it_answers_by_grpc_and_by_json_alike(up: Up) -> None:
    answer = call(up, "flowers", {"sizes": FLOWERS})
    assert answer == {"label": KINDS, "share": [[1.0], [1.0]]}
    assert post(up, "/v1/flowers", {"sizes": FLOWERS}) == (200, answer)
    status, problem = post(up, "/v1/flowers", {"sizes": [[1.0]]})
    assert status == 400
    assert "sizes" in problem["message"]


def test_the_line_to_paste_works(up: Up) -> None:
    (line,) = up.curl
    pasted = up.home.shell(line)
    assert pasted.status == 0
    assert set(json.loads(pasted.out)) == {"label", "share"}


def test_it_is_told_apart_from_models(up: Up) -> None:
    kinds = {entry["name"]: entry["replicas"][0]["kind"] for entry in up.models()}
    assert kinds == {"flowers": "pipeline", "first": "model", "second": "model", "third": "model"}


def test_an_edited_step_is_used_at_once(up: Up, folder: Path) -> None:
    app(folder, VOTE.replace("np.float32(1.0)", "np.float32(0.0)"))
    ask_until(lambda: label(up)[0] == label(up)[1], True, 2.0)
    app(folder, VOTE)
    ask_until(lambda: label(up), KINDS, 2.0)


def test_an_edited_pipeline_is_applied_and_a_bad_one_is_refused_with_its_finding(up: Up, folder: Path) -> None:
    app(folder, VOTE.replace("label=votes.label, ", "kind=votes.label, "))
    ask_until(lambda: sorted(call(up, "flowers", {"sizes": FLOWERS})), ["kind", "share"], 10.0)
    app(folder, VOTE.replace("X=X).label, second", "Y=X).label, second"))
    wait_for(lambda: "flowers: version" in up.err, 20, lambda: up.err)
    (line,) = {line for line in up.err.splitlines() if line.startswith("flowers: version")}
    assert "is not served" in line
    assert "'Y'" in line
    assert sorted(call(up, "flowers", {"sizes": FLOWERS})) == ["kind", "share"]
    app(folder, VOTE)
    ask_until(lambda: sorted(call(up, "flowers", {"sizes": FLOWERS})), ["label", "share"], 10.0)


def test_a_pipeline_that_cannot_be_is_not_served_and_nothing_else_is(home: Home, tmp_path: Path) -> None:
    done = home.run("up", app(tmp_path, VOTE.replace("quorum=2", "quorum=4")), "--grpc", "127.0.0.1:0", timeout=90)
    assert done.status == 2, str(done)
    assert "quorum" in done.error
    assert "ready" not in done.out
    assert home.leftovers() == []


def test_a_pipeline_that_does_not_fit_its_models_is_refused_too(home: Home, tmp_path: Path) -> None:
    bad = VOTE.replace("first(X=X).label", "first(X=X).lable")
    done = home.run("up", app(tmp_path, bad), "--grpc", "127.0.0.1:0", timeout=90)
    assert done.status == 2, str(done)
    assert done.error.startswith("flowers: ")
    assert "lable" in done.error
    assert re.search(rf"{re.escape(str(tmp_path / 'app.py'))}:{_line(bad, 'lable')}\b", done.error), done.error
    assert home.leftovers() == []


def test_check_names_the_line_of_a_python_file(up: Up, tmp_path: Path) -> None:
    bad = VOTE.replace("X=X).label, second", "Y=X).label, second").replace('"flowers"', '"blooms"')
    checked = up.run("check", app(tmp_path, bad))
    assert checked.status == 2, str(checked)
    where = f"inferloom: {tmp_path / 'app.py'}:{_line(bad, 'Y=X')}: pipeline 'blooms': node votes, members.first"
    assert checked.err.splitlines()[0].startswith(where), str(checked)


def _line(text: str, word: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if word in line)


def test_a_condition_on_a_traced_value_names_the_line(home: Home, tmp_path: Path) -> None:
    bad = VOTE.replace("    return Outputs", "    if votes.label == 3:\n        pass\n    return Outputs")
    done = home.run("up", app(tmp_path, bad))
    assert done.status == 2
    assert "app.py" in done.error
    assert home.leftovers() == []


def test_a_mesh_yaml_has_its_graph_and_the_steps_of_a_file_beside_it(home: Home, tmp_path: Path) -> None:
    app(tmp_path, STEPS, "steps.py")
    (tmp_path / "mesh.yaml").write_text(GRAPH)
    with home.up(tmp_path, "--reload") as up:
        assert label(up) == KINDS
        assert post(up, "/v1/flowers", {"sizes": FLOWERS}) == (200, {"label": KINDS})
        (host,) = hosts(up, "--pipelines")
        host.kill()
        wait_for(lambda: [p.pid for p in hosts(up, "--pipelines")] not in ([], [host.pid]), 15)
        served(up, "flowers")
        assert label(up) == KINDS
        assert up.run("remove", "flowers").status == 0
        assert up.replicas("flowers") == []
        assert up.stop() == 0
    with home.up(tmp_path) as up:  # removed stays removed
        assert up.curl == []
        assert up.stop() == 0
    assert home.leftovers() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{model: first, inputs: {X: scaled}}", "{model: frist, inputs: {X: scaled}}", "frist"),
        ("steps:scaled", "steps:scald", "scald"),
    ],
)
def test_a_bad_graph_of_a_mesh_yaml_ends_it_with_the_finding(
    home: Home, tmp_path: Path, old: str, new: str, said: str
) -> None:
    app(tmp_path, STEPS, "steps.py")
    (tmp_path / "mesh.yaml").write_text(GRAPH.replace(old, new))
    done = home.run("up", tmp_path, "--grpc", "127.0.0.1:0", timeout=90)
    assert done.status == 2, str(done)
    assert done.error.startswith("flowers: ")
    assert said in done.error
    assert home.leftovers() == []


def test_a_wrong_field_of_a_graph_is_refused_before_anything_starts(home: Home, tmp_path: Path) -> None:
    app(tmp_path, STEPS, "steps.py")
    (tmp_path / "mesh.yaml").write_text(GRAPH.replace("inputs: {X: scaled}", "imputs: {X: scaled}"))
    done = home.run("up", tmp_path)
    assert done.status == 2
    assert "mesh.yaml:7: pipeline 'flowers': " in done.error
    assert "did you mean 'inputs'?" in done.error


def test_on_consul_pipelines_have_a_process_of_their_own(home: Home, tmp_path: Path) -> None:
    with home.up(app(tmp_path, VOTE), "--registry", "consul") as up:
        assert len(hosts(up, "--pipelines", "--no-services")) == 1
        assert label(up) == KINDS
        assert post(up, "/v1/flowers", {"sizes": FLOWERS})[0] == 200
        app(tmp_path, VOTE.replace("label=votes.label, ", ""))
        ask_until(lambda: sorted(call(up, "flowers", {"sizes": FLOWERS})), ["share"], 20.0)
        assert up.stop() == 0
    assert home.leftovers() == []


LATER = """
- kind: pipeline
  name: later
  spec:
    inputs: [{name: sizes, datatype: FP32, shape: [-1, 4]}]
    nodes: [{name: kind, step: {model: first, inputs: {X: input.sizes}}}]
    outputs: [{name: label, source: kind.label}]
"""


def test_applied_pipelines_and_splits_are_there_again_at_the_next_start(home: Home, tmp_path: Path) -> None:
    app(tmp_path, STEPS, "steps.py")
    models = "- {kind: model, name: first, spec: {versions: {1: iris.onnx, 2: iris.onnx}}}\n"
    (tmp_path / "mesh.yaml").write_text(models)
    (tmp_path / "later.yaml").write_text(LATER)
    with home.up(tmp_path) as up:
        assert not hosts(up)  # models alone
        applied = up.run("apply", tmp_path / "later.yaml")
        assert applied.status == 0, str(applied)
        served(up, "later")
        assert call(up, "later", {"sizes": FLOWERS}) == {"label": KINDS}
        assert up.run("split", "first", "1=90", "2=10", "--by", "user").status == 0
        before = up.run("get", "split", "first", "-o", "json").out
        assert up.stop() == 0
    with home.up(tmp_path) as up:
        assert call(up, "later", {"sizes": FLOWERS}) == {"label": KINDS}
        assert post(up, "/v1/later", {"sizes": FLOWERS}) == (200, {"label": KINDS})
        assert up.run("get", "split", "first", "-o", "json").out == before
        assert '"ranges"' in before
        assert up.stop() == 0
    assert home.leftovers() == []
