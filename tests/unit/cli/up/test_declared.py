from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inferloom.cli.up.declared import declared, split_name
from inferloom.mesh.errors import ConfigError, InvalidInput

MODELS = Path(__file__).parents[3] / "data/models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copyfile(MODELS / "iris.onnx", tmp_path / "iris.onnx")
    return tmp_path


def test_a_file_is_one_model_of_its_own_name(folder: Path) -> None:
    found = declared(folder / "iris.onnx", replicas=3, gpus=1)
    (spec,) = found.models
    assert (spec.name, spec.replicas, spec.gpus, found.folder) == ("iris", 3, 1, None)
    assert spec.versions["1"].source == (folder / "iris.onnx").resolve()


def test_or_of_the_name_and_version_it_is_given(folder: Path) -> None:
    (spec,) = declared(folder / "iris.onnx", name="flowers:7").models
    assert (spec.name, list(spec.versions)) == ("flowers", ["7"])


def test_a_folder_of_files_is_a_model_each_and_says_what_it_left_out(folder: Path) -> None:
    shutil.copyfile(MODELS / "fixed.onnx", folder / "fixed.onnx")
    (folder / "README").write_text("x")
    (folder / ".hidden.onnx").write_bytes(b"x")
    found = declared(folder)
    assert sorted(spec.name for spec in found.models) == ["fixed", "iris"]
    assert found.notes == ("left out, no models: README",)


def test_a_folder_with_a_mesh_yaml_is_what_that_says(folder: Path) -> None:
    (folder / "mesh.yaml").write_text("- {kind: model, name: a, spec: {source: iris.onnx}}\n")
    for source in (folder, folder / "mesh.yaml"):
        found = declared(source, replicas=2)
        assert [(spec.name, spec.replicas) for spec in found.models] == [("a", 2)]
        assert found.folder == folder
    with pytest.raises(ConfigError, match="--as is for a single file"):
        declared(folder, name="b")


def test_a_folder_without_anything_to_serve_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no mesh.yaml and no model file"):
        declared(tmp_path)


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"irs\.onnx"):
        declared(folder / "irs.onnx")


@pytest.mark.parametrize(
    ("text", "expected"), [("iris", ("iris", "")), ("iris:2", ("iris", "2")), ("iris:02", ("iris", "2"))]
)
def test_a_name_may_have_a_version(text: str, expected: tuple[str, str]) -> None:
    assert split_name(text) == expected


@pytest.mark.parametrize("text", ["iris:0", "iris:x", "iris:-1", "iris:1:2", "iris:²", "a b:1", ":1", "..:1"])
def test_what_is_no_name_with_a_version_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        split_name(text)
