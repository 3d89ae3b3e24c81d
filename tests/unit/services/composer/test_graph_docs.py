"""What docs/pipelines.md shows is what comes out."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from inferloom.sdk import model, pipeline, shape
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.draw import draw
from inferloom.services.composer.graph import graph_from, spec_of
from inferloom.services.composer.trace import trace
from inferloom.services.declare.pipeline import Pipeline
from inferloom.services.declare.step import Step
from tests.support import graphs
from tests.unit.services.composer.test_check_findings import RULES

TEXT = (Path(__file__).parents[4] / "docs" / "pipelines.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
PYTHON, YAML, PLAIN = ([text for kind, text in BLOCKS if kind == wanted] for wanted in ("python", "yaml", ""))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The example's file with the cascade of further down."""
    file = tmp_path_factory.mktemp("docs") / "app.py"
    whole = PYTHON[0].replace("Outputs, model, pipeline, shape", "Outputs, model, pipeline, route, shape") + PYTHON[2]
    file.write_text(whole.replace("from skimage.io import imread\n", ""))
    spec = importlib.util.spec_from_file_location("app", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def known(app: ModuleType) -> Known:
    base = graphs.known()
    steps = {each.declaration.reference: each.declaration for each in vars(app).values() if isinstance(each, Step)}
    return Known(base.signature, base.repeat, base.names, steps, {})


def test_python_and_yaml_are_the_same_document(app: ModuleType) -> None:
    written = yaml.safe_load(YAML[0])
    made = spec_of(trace(app.digits.declaration))
    assert made.pop("types") == "app:digits"
    assert spec_of(graph_from(written["spec"], written["name"])) == made


def test_every_pipeline_of_the_page_passes_its_check(app: ModuleType) -> None:
    written = [graph_from(document["spec"], document["name"]) for document in map(yaml.safe_load, YAML)]
    made = [trace(each.declaration) for each in vars(app).values() if isinstance(each, Pipeline)]
    assert len(written) == len(made) == 2
    for graph in (*written, *made):
        assert check(graph, known(app)).findings == ()


def test_the_drawing_is_what_is_drawn(app: ModuleType) -> None:
    assert draw(trace(app.digits.declaration)) + "\n" == PLAIN[-1]


def test_the_routes_of_the_page_can_be_traced(app: ModuleType, tmp_path: Path) -> None:
    names = {**vars(app), "kind": model("kind"), "Pixels": Annotated[npt.NDArray[np.float32], shape(1, 64)]}
    file = tmp_path / "choices.py"
    file.write_text(PYTHON[1])
    exec(compile(PYTHON[1], str(file), "exec", dont_inherit=True), names)
    found = trace(pipeline("p")(names["choices"]).declaration)
    assert [node.name for node in found.nodes if node.HasField("route")] == ["by_shares", "by_rules", "by_value"]


def test_the_findings_of_the_page_are_those_that_the_rules_give() -> None:
    given = {message.partition(": ")[2] for _, message in RULES.values()}  # whatever the node is called
    shown = [line.partition(": ")[2] for line in PLAIN[3].strip().splitlines()]
    assert len(shown) == 8
    assert [line for line in shown if line not in given] == []


def test_the_test_of_the_page_passes(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    [example] = [text for text in PYTHON if "run_local" in text]
    monkeypatch.setitem(sys.modules, "app", app)
    monkeypatch.setattr(app, "imread", lambda file, **_: np.zeros((8, 8)), raising=False)
    names: dict[str, Any] = {"digits": app.digits, "PNG": b""}
    exec(example, names)
    names["test_two_of_three_are_enough"]()
