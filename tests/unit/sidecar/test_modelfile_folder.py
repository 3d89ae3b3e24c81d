"""Folders as models."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import Kind, recognise
from tests.support.models import DATA

CLASS = 'class A:\n    inputs = {"x": "FP32[-1]"}\n    outputs = {"y": "FP32[-1]"}\n    def predict(self, x): ...\n'


def test_a_folder_with_versions_is_a_triton_model(tmp_path: Path) -> None:
    for version in ("10", "9"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    model = recognise(tmp_path)
    assert model.kind is Kind.TRITON
    assert model.description.startswith("Triton model folder, versions 9, 10: ONNX model: X FP32[-1,4]")
    assert model.backend == "onnxruntime"


def test_a_configuration_of_its_own_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "config.pbtxt").write_text('backend: "tensorrt"')
    assert recognise(tmp_path).description == "Triton model folder, version 1"


def test_a_class_may_bring_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "model_code.py").write_text(f"import helper\nimport pandas\n{CLASS}")
    (tmp_path / "helper.py").write_text("")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.npy").write_text("")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("")
    model = recognise(tmp_path)
    assert sorted(name for name, _ in model.files) == ["helper.py", "user_model.py", "weights/w.npy"]
    assert model.needs == ("pandas",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "it has no files"),
        ({"iris.onnx": "x"}, r"it has iris\.onnx; give one model file, or put it into"),
        ({"config.pbtxt": ""}, "has config.pbtxt and no version folder"),
        ({"iris/1/model.onnx": "x", "wine/config.pbtxt": ""}, r"a repository of models \(iris, wine\).*give '.*/iris'"),
        ({"1/weights.bin": "x"}, "has no model.onnx, model.pt, model.py"),
        ({"a.py": CLASS, "model.py": ""}, "that name is needed for the model"),
    ],
)
def test_a_folder_that_is_no_model_is_told_why(tmp_path: Path, files: dict[str, str], message: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    with pytest.raises(InvalidInput, match=message):
        recognise(folder)
