"""Reading an ONNX file by hand."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import recognise
from inferloom.sidecar.modelfile.protobuf import Malformed, fields
from tests.support.models import DATA


@pytest.mark.parametrize(
    ("file", "inputs", "batched"),
    [
        ("iris.onnx", ["X FP32[-1,4]"], True),
        ("vector.onnx", ["x FP32[-1]"], True),
        ("strings.onnx", ["x BYTES[-1,1]"], True),
        ("fixed.onnx", ["x FP32[1,3]"], False),
        ("detections.onnx", ["x FP32[-1,2]"], False),
    ],
)
def test_inputs_and_batching_are_read_from_the_file(file: str, inputs: list[str], batched: bool) -> None:
    model = recognise(DATA / file)
    assert [str(tensor) for tensor in model.inputs] == inputs
    assert model.batched is batched


def test_weights_are_no_inputs_and_their_file_belongs_to_the_model() -> None:
    model = recognise(DATA / "external.onnx")
    assert [tensor.name for tensor in model.inputs] == ["x"]
    assert model.files == (("model.onnx", DATA / "external.onnx"), ("external.data", DATA / "external.data"))


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes((DATA / "external.onnx").read_bytes())
    with pytest.raises(InvalidInput, match=r"keeps its weights in 'external\.data', which is not beside it"):
        recognise(tmp_path / "m.onnx")


def test_weights_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes((DATA / "external.onnx").read_bytes().replace(b"external.data", b"../../secrets"))
    with pytest.raises(InvalidInput, match="outside of its folder"):
        recognise(path)


def test_zipmap_outputs_are_refused_with_the_cure() -> None:
    with pytest.raises(InvalidInput, match=r"'output_probability' of .* is a sequence.*\{'zipmap': False\}"):
        recognise(DATA / "zipmap.onnx")


@pytest.mark.parametrize("length", [1, 10, 100, 300, 600])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes((DATA / "iris.onnx").read_bytes()[:length])
    with pytest.raises(InvalidInput, match="cut short"):
        recognise(path)


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_malformed(data: bytes) -> None:
    try:
        for number, _ in fields(memoryview(data)):
            assert number > 0
    except Malformed:
        pass


@given(st.integers(0, 600), st.integers(0, 255))
def test_a_damaged_file_is_a_model_or_invalid_input_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    data = bytearray((DATA / "iris.onnx").read_bytes())
    data[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(data)
    with contextlib.suppress(InvalidInput):
        recognise(path)
