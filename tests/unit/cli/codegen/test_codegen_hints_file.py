from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.cli.up import meshfile
from inferloom.cli.up.declared import declared
from inferloom.cli.up.documents import ModelSpec
from inferloom.cli.up.hints_file import hints_beside, read_hints
from inferloom.mesh.errors import ConfigError
from inferloom.services.proto.hints import Hints

IRIS = Path("tests/data/models/iris.onnx")
HINTS = """\
description: Which iris a flower is.
inputs:
  X:
    unit: cm
    columns: [sepal_length, sepal_width, petal_length, {name: petal_width, range: [0, 30]}]
outputs:
  label:
    labels: labels.txt
example:
  rows: [{sepal_length: 5.1, sepal_width: 3.5, petal_length: 1.4, petal_width: 0.2}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "iris.onnx").write_bytes(IRIS.read_bytes())
    (tmp_path / "iris.service.yaml").write_text(HINTS)
    (tmp_path / "labels.txt").write_text("setosa\nversicolor\n\nvirginica\n")
    return tmp_path


def wrong(folder: Path, text: str) -> str:
    path = folder / "wrong.service.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_hints(path)
    return str(caught.value).removeprefix(str(path))


def test_hints_lie_beside_a_file_or_in_a_folder(folder: Path) -> None:
    assert hints_beside(folder / "iris.onnx") == folder / "iris.service.yaml"
    assert hints_beside(folder / "other.onnx") is None
    (folder / "m").mkdir()
    assert hints_beside(folder / "m") is None
    (folder / "m" / "service.yaml").write_text("{}")
    assert hints_beside(folder / "m") == folder / "m" / "service.yaml"


async def test_up_picks_them_up_and_they_travel_with_the_document(folder: Path) -> None:
    (spec,) = (await declared(folder / "iris.onnx")).models
    assert spec.hints["outputs"] == {"label": {"labels": ["setosa", "versicolor", "virginica"]}}
    again = ModelSpec.from_json("iris", spec.to_json())
    assert again == spec
    assert Hints.from_json(again.hints).inputs["X"].columns[3].most == 30


async def test_a_folder_and_a_mesh_file_pick_them_up(folder: Path) -> None:
    found = await declared(folder)
    assert found.models[0].hints["description"] == "Which iris a flower is."
    assert found.notes == ("left out, no models: labels.txt",)
    (folder / "mesh.yaml").write_text("- {kind: model, name: flowers, spec: {source: iris.onnx}}\n")
    assert meshfile.load(folder / "mesh.yaml").models[0].hints == found.models[0].hints


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("inputs:\n  X: {unt: cm}", ":2: tensor 'X': unknown key 'unt'; did you mean 'unit'?"),
        ("input: {}", ":1: hints: unknown key 'input'; did you mean 'inputs'?"),
        ("rows: 3", ":1: rows must be true or false"),
        ("inputs:\n  X:\n    range: [3]", ":3: tensor 'X': range is [least, most], both included; null is an open end"),
        ("inputs:\n  X:\n    range: [3, 1]", ":3: tensor 'X': range [3, 1] holds nothing"),
        ("outputs:\n  y:\n    labels: none.txt", ":3: tensor 'y': labels: '"),
        ("outputs:\n  y: {labels: [a, b, a]}", ":2: tensor 'y': label 'a' stands twice"),
        ("outputs:\n  y: {labels: []}", ":2: tensor 'y': labels: there are none"),
        ("outputs:\n  y: {type: text}", ":2: tensor 'y': type is string or bytes, not 'text'"),
        ("example: 3", ":1: example must be a request"),
        ("- {}\n- {}", ": one document is wanted"),
    ],
)
def test_a_mistake_is_told_with_its_line(folder: Path, text: str, told: str) -> None:
    assert wrong(folder, text).startswith(told)


async def test_hints_that_do_not_fit_the_file_are_told_with_their_line(folder: Path) -> None:
    path = folder / "iris.service.yaml"
    path.write_text("inputs:\n  x: {unit: cm}\n")
    with pytest.raises(ConfigError, match=r"iris.service.yaml:2: inputs: unknown key 'x'"):
        await declared(folder / "iris.onnx")
    path.write_text("inputs:\n  X:\n    columns: [a, b]\n")
    with pytest.raises(ConfigError, match=r"iris.service.yaml:3: tensor 'X' has 4 columns, not the 2 that are named"):
        await declared(folder / "iris.onnx")


def test_words_of_yaml_are_labels_as_they_are_written(folder: Path) -> None:
    path = folder / "norway.service.yaml"
    path.write_text("outputs:\n  y: {labels: [no, se, 1.0]}\n")
    assert read_hints(path)["outputs"]["y"]["labels"] == ["no", "se", "1.0"]
