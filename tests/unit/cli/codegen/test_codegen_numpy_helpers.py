"""The numpy helpers of a client package: arrays -> message -> bytes -> message -> arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferloom.cli.codegen import numpy_helpers
from inferloom.cli.codegen.numpy_helpers import Tensor, arrays_of, fill
from inferloom.cli.codegen.python_arrays import arrays_module
from inferloom.clients.datatypes import NUMPY
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.services.proto.descriptor import file_descriptor_set
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face


def request_class(face: Face) -> Any:
    pool = descriptor_pool.DescriptorPool()
    for file in file_descriptor_set(face).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{face.package}.PredictRequest"))


def inputs_of(face: Face) -> tuple[Tensor, ...]:
    """As the written arrays.py has them."""
    line = next(line for line in arrays_module(face).splitlines() if line.strip().startswith("Tensor("))
    return (eval(line.strip().rstrip(","), {"Tensor": numpy_helpers.Tensor}),)


def face_of(datatype: str, shape: tuple[int, ...], rows: bool, hint: TensorHint) -> Face:
    spec = TensorSpec("x", datatype, (-1, *shape) if rows else shape)
    metadata = ModelMetadata("m", ("1",), "", (spec,), (), 8 if rows else 0)
    return numbered(model_face(metadata, Hints(inputs={"x": hint})))[0]


def there_and_back(face: Face, array: Any) -> Any:
    request = request_class(face)()
    fill(request, inputs_of(face), {"x": array}, rows=face.rows)
    parsed = request_class(face).FromString(request.SerializeToString())
    return arrays_of(parsed, inputs_of(face), rows=face.rows)[0]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Face, Any]:
    datatype = draw(st.sampled_from(sorted(NUMPY)))
    shape = tuple(draw(st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=4)))
    rows = draw(st.booleans())
    hint = TensorHint()
    if 1 <= len(shape) <= 2 and shape[-1] > 0 and draw(st.booleans()):
        hint = TensorHint(columns=tuple(ColumnHint(f"c{number}") for number in range(shape[-1])))
    sizes = tuple(draw(st.integers(1, 3)) if size == -1 else size for size in shape)
    whole = (draw(st.integers(1, 3)), *sizes) if rows else sizes
    if datatype == "BYTES":
        elements = draw(arrays.arrays(np.dtype("O"), whole, elements=st.text(max_size=5)))
    else:
        elements = draw(arrays.arrays(NUMPY[datatype], whole))
    return face_of(datatype, shape, rows, hint), elements


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_datatype_and_shape_comes_back_as_it_was(case: tuple[Face, Any]) -> None:
    face, array = case
    found = there_and_back(face, array)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_bytes_come_back_as_bytes_and_labels_of_an_enum_as_labels() -> None:
    face = face_of("BYTES", (-1,), False, TensorHint(type="bytes"))
    assert there_and_back(face, [b"\xff\x00", b""]).tolist() == [b"\xff\x00", b""]
    face = face_of("INT64", (2,), True, TensorHint(labels=("no", "yes"), enum=True))
    assert there_and_back(face, [["yes", "no"]]).tolist() == [["yes", "no"]]


def test_one_value_per_row_may_be_given_without_its_last_dimension() -> None:
    face = face_of("FP32", (1,), True, TensorHint())
    assert there_and_back(face, [1, 2]).tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("array", [[[1, 2, 3]], [1, 2], [[[1, 2]]]])
def test_a_shape_that_does_not_fit_is_told(array: Any) -> None:
    with pytest.raises(ValueError, match=r"x: shape \[.*\] does not fit \[-1, 2\]"):
        there_and_back(face_of("FP32", (2,), True, TensorHint()), array)
