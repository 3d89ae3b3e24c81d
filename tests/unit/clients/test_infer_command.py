"""What `inferloom infer` makes of its --input options, and how it shows an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from inferloom.cli.infer import json_of, parse_inputs, table_of
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.clients.result import InferResult
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb


def model(*inputs: TensorSpec) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "", inputs, (), 0)


NUMBERS = model(TensorSpec("x", "FP32", (-1, 2)))
TEXT = model(TensorSpec("t", "BYTES", (-1,)))


@pytest.mark.parametrize(
    ("metadata", "text", "value"),
    [
        (NUMBERS, "x=[[1,2.5]]", [[1, 2.5]]),
        (NUMBERS, "[[1,2.5]]", [[1, 2.5]]),
        (NUMBERS, "x=3", 3),
        (TEXT, "t=hello = world", "hello = world"),
        (TEXT, "hello", "hello"),
        (TEXT, "t=12345", "12345"),
        (TEXT, 't=["a","b"]', ["a", "b"]),
        (TEXT, "t=[not json", "[not json"),
        (TEXT, "t=@@home", "@home"),
    ],
)
def test_a_value_is_read_as_the_input_takes_it(metadata: ModelMetadata, text: str, value: Any) -> None:
    assert list(parse_inputs([text], metadata).values()) == [value]


def test_zeros_have_the_models_shape() -> None:
    zeros = parse_inputs(["x=@zeros"], NUMBERS)["x"]
    assert zeros.dtype == np.float32
    assert zeros.tolist() == [[0, 0]]


def test_files_are_read_by_their_ending(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((1, 2)))
    (tmp_path / "a.json").write_text("[[1, 2]]")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    assert parse_inputs([f"x=@{tmp_path}/a.npy"], NUMBERS)["x"].tolist() == [[1, 1]]
    assert parse_inputs([f"x=@{tmp_path}/a.json"], NUMBERS)["x"] == [[1, 2]]
    assert parse_inputs([f"t=@{tmp_path}/a.png"], TEXT)["t"] == b"\x89PNG"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "m takes x FP32 [-1,2]. For example: inferloom infer m --input 'x=[[0.0,0.0]]'"),
        (["x=abc"], "input 'x' takes FP32: give JSON or @FILE, not 'abc'"),
        (["x=1", "x=2"], "--input x is given twice"),
        (["x=@/nowhere/a.npy"], "input 'x': /nowhere/a.npy cannot be read: No such file or directory"),
        (["x=@a.csv"], "input 'x' takes FP32: a.csv would have to be a .npy or .json file"),
    ],
)
def test_a_wrong_input_is_explained(inputs: list[str], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_inputs(inputs, NUMBERS)
    assert str(caught.value) == message


def test_files_that_are_not_what_they_are_called_are_explained(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("no")
    (tmp_path / "a.json").write_text("no")
    np.save(tmp_path / "o.npy", np.array([None]), allow_pickle=True)
    for name, why in (
        ("a.npy", "no numpy file"),
        ("a.json", "is no JSON"),
        ("o.npy", "no numpy file of plain numbers"),
    ):
        with pytest.raises(InvalidInput, match=why):
            parse_inputs([f"x=@{tmp_path}/{name}"], NUMBERS)


def test_a_model_of_several_inputs_wants_names() -> None:
    two = model(TensorSpec("a", "FP32", (1,)), TensorSpec("b", "FP32", (1,)))
    with pytest.raises(InvalidInput, match="does not say which input: NAME=VALUE; m takes a FP32"):
        parse_inputs(["[1]"], two)


def answer() -> InferResult:
    message = pb.ModelInferResponse(model_name="m", model_version="1")
    message.outputs.add(name="p", datatype="FP32", shape=[1, 3])
    message.raw_output_contents.append(np.array([0.5, np.nan, -np.inf], np.float32).tobytes())
    message.outputs.add(name="t", datatype="BYTES", shape=[2])
    message.raw_output_contents.append(b"\2\0\0\0\xc3\xa9\1\0\0\0\xff")
    return InferResult(message)


def test_json_is_valid_whatever_the_values() -> None:
    found = json.loads(json_of(answer()), parse_constant=pytest.fail)
    assert found["outputs"] == {"p": [[0.5, "NaN", "-Infinity"]], "t": ["é", {"base64": "/w=="}]}
    assert found["model"] == "m"


def test_the_table_shows_brackets_as_they_are() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table_of(answer()))
        shown = console.export_text()
    assert "m:1" in shown
    assert "[1,3]" in shown
    assert "[[ 0.5  nan -inf]]" in shown
    assert "\\[" not in shown
