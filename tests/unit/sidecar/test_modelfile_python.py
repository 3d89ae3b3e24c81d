"""Python files as models, read without being imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import Kind, recognise

GOOD = """
import json
import cv2
import numpy as np
from torch import nn

class _Helper:
    def predict(self, x): ...

class Mask:
    inputs = {"image": "UINT8[-1,64,64,3]"}
    outputs: dict = {"mask": "FP32[-1,64,64]"}

    def predict(self, image): ...
"""


def written(folder: Path, text: str, name: str = "model.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_one_public_class_with_predict_is_the_model(tmp_path: Path) -> None:
    model = recognise(written(tmp_path, GOOD))
    assert model.kind is Kind.PYTHON
    assert model.description == "Python class Mask: image UINT8[-1,64,64,3] -> mask FP32[-1,64,64]"
    assert model.batched is True


def test_packages_that_python_does_not_bring_are_listed(tmp_path: Path) -> None:
    model = recognise(written(tmp_path, GOOD))
    assert model.needs == ("opencv-python-headless", "torch")
    assert model.extras == ("torch",)


def test_types_may_be_missing_until_it_is_placed(tmp_path: Path) -> None:
    model = recognise(written(tmp_path, "class A:\n    def predict(self, x): ...\n"))
    assert (model.description, model.inputs, model.batched) == ("Python class A.predict(x)", (), None)


def test_the_file_is_never_run(tmp_path: Path) -> None:
    recognise(written(tmp_path, "raise SystemExit('run')\nclass A:\n    def predict(self, x): ...\n"))


def test_a_triton_python_model_is_used_as_it_is(tmp_path: Path) -> None:
    model = recognise(written(tmp_path, "class TritonPythonModel:\n    def execute(self, requests): ...\n", "a.py"))
    assert (model.kind, model.wrapper, [name for name, _ in model.files]) == (Kind.TRITON_PYTHON, "", ["model.py"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "one public class with a method predict is needed, and it has none"),
        (
            "class A:\n    def predict(self, x): ...\nclass B:\n    def predict(self, x): ...\n",
            "and it has A, B",
        ),
        ("class A\n", "line 1: this is no Python"),
        ("class A:\n    async def predict(self, x): ...\n", "line 2: predict of A is async"),
        ("class A:\n    def predict(self): ...\n", "predict of A takes no inputs"),
        ("class A:\n    def predict(self, **x): ...\n", r"has \* or \*\* arguments; name each input"),
        (
            'class A:\n    inputs = {"y": "FP32[-1]"}\n    def predict(self, x): ...\n',
            r"predict takes x, and A.inputs has y FP32\[-1\]; use the same names",
        ),
        ("class A:\n    inputs = make()\n    def predict(self, x): ...\n", "line 2: inputs of A is no literal"),
        ("class A:\n    inputs = ['x']\n    def predict(self, x): ...\n", "line 2: inputs of A is no dict"),
        (
            'class A:\n    inputs = {"x": "float[-1]"}\n    def predict(self, x): ...\n',
            r"line 2: inputs of A: 'x': 'float\[-1\]' is no type",
        ),
        (
            'class A:\n    inputs = {"x": "FP31[-1]"}\n    def predict(self, x): ...\n',
            "FP31 is no datatype; there are BOOL",
        ),
        ('class A:\n    inputs = {"x": "FP32[0]"}\n    def predict(self, x): ...\n', r"\[0\] is no shape"),
    ],
)
def test_what_is_wrong_with_a_class_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        recognise(written(tmp_path, text))
