"""A model's requests and answers: typed and back again is what numpy has, for every datatype, shape and form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.clients.datatypes import BF16, BYTES, NUMPY
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.services.proto.face import Face, Form
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face
from inferloom.services.typed.classes import message_classes
from inferloom.services.typed.model_json import ModelJson
from inferloom.services.typed.model_messages import ModelMessages

Array = np.ndarray[Any, Any]
EVER, NEVER = 0, 1 << 40  # bytes from which columns are read and written


def face_of(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...] | None = None,
    most: int | None = 0,
    hints: Hints | None = None,
) -> Face:
    metadata = ModelMetadata("m", ("1",), "", inputs, inputs if outputs is None else outputs, most)
    face, _ = numbered(model_face(metadata, hints))
    return face


def messages(face: Face, large: int) -> ModelMessages:
    classes = message_classes(face)
    predict = face.predict
    return ModelMessages(face, classes[predict.request], classes[predict.response], large=large)


def same(found: Mapping[str, Array], wanted: Mapping[str, Array]) -> None:
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@st.composite
def arrays(draw: st.DrawFn, datatype: str, shape: tuple[int, ...], text: bool) -> Array:
    count = math.prod(shape)
    if datatype == BYTES:
        each = st.text(max_size=5).map(str.encode) if text else st.binary(max_size=5)
        flat = np.empty(count, dtype=object)
        flat[:] = draw(st.lists(each, min_size=count, max_size=count))
        return flat.reshape(shape)
    dtype = NUMPY[datatype]
    if dtype.kind == "f":
        bits: Any = {"FP16": 16, "FP32": 32, BF16: 16}.get(datatype, 64)
        elements: Any = st.floats(width=bits, allow_nan=True)
    elif dtype.kind == "b":
        elements = st.booleans()
    else:
        limits = np.iinfo(dtype)
        elements = st.integers(int(limits.min), int(limits.max))
    return np.array(draw(st.lists(elements, min_size=count, max_size=count)), dtype).reshape(shape)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Face, dict[str, Array]]:
    batch = draw(st.booleans())
    rows = draw(st.integers(1, 4))
    specs, given, hints = [], {}, {}
    for index in range(draw(st.integers(1, 3))):
        name = f"t{index}"
        datatype = draw(st.sampled_from(sorted(NUMPY)))
        text = draw(st.booleans())
        sizes = draw(st.lists(st.integers(1, 3), max_size=4))
        free = [draw(st.booleans()) for _ in sizes]
        told = tuple(-1 if any_size else size for size, any_size in zip(sizes, free, strict=True))
        optional = index > 0 and draw(st.booleans())
        specs.append(TensorSpec(name, datatype, (-1, *told) if batch else told, optional))
        if datatype == BYTES:
            hints[name] = TensorHint(type="string" if text else "bytes")
        if len(sizes) in (1, 2) and draw(st.booleans()):
            columns = tuple(ColumnHint(f"c{index}_{number}") for number in range(sizes[-1]))
            known = hints.get(name, TensorHint())
            hints[name] = TensorHint(columns=columns, type=known.type)
        if not (optional and draw(st.booleans())):
            given[name] = draw(arrays(datatype, (rows, *sizes) if batch else tuple(sizes), text))
    return face_of(tuple(specs), most=8 if batch else 0, hints=Hints(inputs=hints, outputs=hints)), given


def request_of(face: Face, given: Mapping[str, Array]) -> bytes:
    """The request as a caller would write it: an answer of the same fields is one."""
    present = tuple(binding for binding in face.outputs if binding.tensor.name in given)
    answers = Face(**{field: getattr(face, field) for field in face.__dataclass_fields__} | {"outputs": present})
    return ModelJson(answers).write(given)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_what_was_sent_as_json_is_what_numpy_has(case: tuple[Face, dict[str, Array]]) -> None:
    face, given = case
    same(ModelJson(face).read(request_of(face, given)), given)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_what_was_sent_as_messages_is_what_numpy_has_by_columns_or_one_by_one(
    case: tuple[Face, dict[str, Array]],
) -> None:
    face, given = case
    classes = message_classes(face)
    request = classes[face.predict.request]()
    json_format.Parse(request_of(face, given), request)
    for large in (EVER, NEVER):
        same(messages(face, large).read(request.SerializeToString()), given)


@settings(max_examples=120, deadline=None)
@given(cases())
def test_answers_by_columns_and_one_by_one_are_the_same_message_and_the_same_json(
    case: tuple[Face, dict[str, Array]],
) -> None:
    face, given = case
    present = tuple(binding for binding in face.outputs if binding.tensor.name in given)
    face = Face(**{field: getattr(face, field) for field in face.__dataclass_fields__} | {"outputs": present})
    response = message_classes(face)[face.predict.response]
    one, other = (response.FromString(messages(face, large).write(given)) for large in (EVER, NEVER))
    assert text_of(one) == text_of(other)
    filled = json_format.Parse(ModelJson(face).write(given), response())
    assert text_of(filled) == text_of(one)


def text_of(message: Any) -> str:
    return json_format.MessageToJson(message, sort_keys=True)


def test_the_forms_are_all_drawn() -> None:
    shapes: dict[Form, tuple[int, ...]] = {
        Form.VALUE: (1,),
        Form.LIST: (3,),
        Form.NESTED: (2, -1),
        Form.FLAT: (1, 2, 3),
        Form.TENSOR: (1, -1, 3),
    }
    for form, shape in shapes.items():
        face = face_of((TensorSpec("x", "FP32", shape),))
        assert face.inputs[0].form is form


@pytest.mark.parametrize("large", [EVER, NEVER])
def test_rows_of_large_tensors_beside_text_are_read_and_written_as_they_are(large: int) -> None:
    specs = (TensorSpec("id", BYTES, (-1, 1)), TensorSpec("x", "FP32", (-1, 700)), TensorSpec("n", "INT64", (-1, 200)))
    face = face_of(specs, most=8)
    rng = np.random.default_rng(0)
    texts = np.empty((3, 1), dtype=object)
    texts[:, 0] = [b"a", "\u00e4\u00f6".encode(), b""]
    given = {
        "id": texts,
        "x": rng.random((3, 700), np.float32),
        "n": rng.integers(-(2**62), 2**62, (3, 200)),
    }
    written = messages(face, large).write(given)
    # What an answer leaves out, a request must have: an empty text is written out here.
    request = message_classes(face)[face.predict.request].FromString(written)
    request.rows[2].id = ""
    same(messages(face, large).read(request.SerializeToString()), given)
