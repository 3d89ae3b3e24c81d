"""warmup.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import Warmup, load_warmup
from inferloom.sidecar.modelfile.warmup import WarmupOutput

X = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4.5]]}


def written(folder: Path, document: Any) -> Path:
    (folder / "warmup.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return folder


def test_a_version_without_one_has_none(tmp_path: Path) -> None:
    assert load_warmup(tmp_path) is None


def test_data_is_flat_however_it_was_nested(tmp_path: Path) -> None:
    document = {"inputs": [X], "outputs": [{"name": "label", "data": ["a", "b"]}], "tolerance": 0.1}
    warmup = load_warmup(written(tmp_path, document))
    assert warmup is not None
    assert warmup.inputs[0].data == (1, 2, 3, 4.5)
    assert warmup.outputs == (WarmupOutput("label", ("a", "b")),)
    assert warmup.tolerance == 0.1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is no JSON"),
        ([], "the document is no object"),
        ({}, "the document lacks 'inputs'"),
        ({"inputs": [X], "output": []}, "unknown key 'output'; known are inputs, outputs, tolerance"),
        ({"inputs": [{**X, "data": [1]}]}, r"inputs\[0\]\.data has 1 values, shape \[2, 2\] needs 4"),
        ({"inputs": [{**X, "datatype": "float"}]}, r"inputs\[0\]\.datatype is 'float'; there are BOOL"),
        ({"inputs": [{**X, "shape": [2, -1]}]}, r"inputs\[0\]\.shape is \[2, -1\]"),
        ({"inputs": [{**X, "data": [None] * 4}]}, r"inputs\[0\]\.data has None"),
        ({"inputs": [X], "outputs": [{"name": "y"}]}, r"outputs\[0\] lacks 'data'"),
        ({"inputs": [X], "tolerance": -1}, "tolerance is -1"),
    ],
)
def test_a_mistake_is_told_with_file_and_field(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        load_warmup(written(tmp_path, document))
    assert "warmup.json" in str(caught.value)


@pytest.mark.parametrize(
    ("known", "answer", "problem"),
    [
        ((1.0, 1000.0), [1.0005, 1000.9], ""),
        ((1.0,), [1.01], "output 'y' is 1.01 at 0, 1.0 was expected"),
        ((float("nan"),), [float("nan")], ""),
        (("a",), [b"a"], ""),
        (("a",), [b"b"], "output 'y' is b'b' at 0, 'a' was expected"),
        ((1,), ["1"], "output 'y' is '1' at 0, 1 was expected"),
        ((1, 2), [1], "output 'y' has 1 values, 2 were expected"),
    ],
)
def test_an_answer_is_compared_within_the_tolerance(known: Any, answer: list[Any], problem: str) -> None:
    assert Warmup((), (WarmupOutput("y", known),)).mismatch({"y": answer}) == problem


def test_a_missing_output_is_named() -> None:
    assert Warmup((), (WarmupOutput("y", (1,)),)).mismatch({"z": [1]}) == "no output 'y'; there are z"
