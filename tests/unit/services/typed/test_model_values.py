"""Single values of a model's JSON: digits, examples, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.hints import Hints, TensorHint
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face
from inferloom.services.typed.model_elements import shortest
from inferloom.services.typed.model_json import ModelJson
from inferloom.services.typed.model_schema import example_of, request_schema
from inferloom.services.typed.served import Served
from inferloom.services.typed.wire_varints import pack, unpack


def served(*inputs: TensorSpec, most: int = 0, **hints: TensorHint) -> Served:
    metadata = ModelMetadata("m", ("1",), "", inputs, (TensorSpec("y", "FP32", (-1, 1)),), most)
    return Served(numbered(model_face(metadata, Hints(inputs=hints)))[0], metadata)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_float32_has_no_more_digits_than_it_needs(values: list[float]) -> None:
    array = np.array(values, np.float32)
    written = shortest(array)
    np.testing.assert_array_equal(written.astype(np.float32), array)
    for value, number in zip(array, written.tolist(), strict=True):
        if np.finfo(np.float32).tiny <= abs(value) < np.finfo(np.float32).max:
            assert len(repr(abs(number))) <= len(repr(float(str(abs(value)))))


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_packed_integers_come_back(values: list[int]) -> None:
    array = np.array(values, np.int64)
    found = unpack(pack(array))
    assert found is not None
    np.testing.assert_array_equal(found.view(np.int64), array)


def test_bytes_that_are_no_varints_are_not_read() -> None:
    assert unpack(np.array([0x80], np.uint8)) is None
    assert unpack(np.array([0x80] * 11 + [1], np.uint8)) is None


@pytest.mark.parametrize(
    "one",
    [
        served(TensorSpec("x", "FP32", (-1, 4)), most=8),
        served(TensorSpec("x", "FP32", (2, 3)), TensorSpec("t", "BYTES", (1,))),
        served(TensorSpec("x", "INT8", (-1, -1, 2)), TensorSpec("b", "BOOL", (-1,))),
        served(TensorSpec("x", "INT64", (1,)), x=TensorHint(least=5, most=9)),
        served(TensorSpec("x", "INT64", (1,)), x=TensorHint(labels=("a", "b"), enum=True)),
        served(TensorSpec("x", "FP64", (1, 2, 3)), x=TensorHint(least=0.1, most=0.2)),
    ],
)
def test_an_example_passes_the_checks(one: Served) -> None:
    example = example_of(one)
    assert example is not None
    one.json.read(json.dumps(example).encode())
    assert request_schema(one.face)["required"] == list(example)


def test_an_owners_example_that_does_not_pass_is_not_shown() -> None:
    one = served(TensorSpec("x", "FP32", (1,)), x=TensorHint(most=1))
    wrong = Served(
        type(one.face)(**{f: getattr(one.face, f) for f in one.face.__dataclass_fields__} | {"example": {"x": 2}})
    )
    assert example_of(wrong) == {"x": 0.5}


@pytest.mark.parametrize(
    ("spec", "body", "message"),
    [
        (TensorSpec("x", "INT32", (1,)), '{"x": "5"}', "x: takes a whole number, got '5'"),
        (TensorSpec("x", "INT32", (1,)), '{"x": 5.0}', "x: takes a whole number, got 5.0"),
        (TensorSpec("x", "INT64", (1,)), '{"x": "5.0"}', "x: takes a whole number, got '5.0'"),
        (TensorSpec("x", "INT64", (1,)), '{"x": 9223372036854775808}', "x: takes a whole number from -92"),
        (TensorSpec("x", "BOOL", (1,)), '{"x": 1}', "x: takes true or false, got 1"),
        (TensorSpec("x", "BYTES", (1,)), '{"x": 1}', "x: takes text, got 1"),
        (TensorSpec("x", "FP32", (2, 2)), '{"x": [{"values": [1, 2]}]}', "x: takes 2 elements, got 1"),
        (
            TensorSpec("x", "FP32", (1, 2)),
            '{"x": [{"value": [1, 2]}]}',
            "x[0].value: is not known (did you mean 'values'?)",
        ),
        (
            TensorSpec("x", "FP32", (1, -1, 1)),
            '{"x": {"shape": [1, 2, 1], "values": [1]}}',
            "x.values: takes 2 elements for the shape [1, 2, 1], got 1",
        ),
        (TensorSpec("x", "FP32", (1, 2, 2)), '{"x": [1, 2, null, 4]}', "x[2]: takes a number, got null"),
        (TensorSpec("x", "FP32", (1,)), '{"x": 1, "X": 2}', "X: is not known (did you mean 'x'?)"),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(spec: TensorSpec, body: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        ModelJson(served(spec).face).read(body.encode())
    assert str(error.value).startswith(message)


def test_five_faults_are_told_and_how_many_more_there_are() -> None:
    face = served(TensorSpec("x", "FP32", (8,))).face
    with pytest.raises(InvalidInput) as error:
        ModelJson(face).read(b'{"x": [null, 1, "a", "b", true, {}, [], 2]}')
    assert len(error.value.violations) == 5
    assert str(error.value).endswith("and 1 more")
