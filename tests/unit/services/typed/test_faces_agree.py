"""Properties: what is told by tensors and what is told by JSON is the same, and both come back as they went."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferloom.clients.datatypes import NUMPY
from inferloom.clients.metadata import TensorSpec
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor
from inferloom.services.typed import shape, tensor_types, types_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTS = st.integers(-(2**63), 2**63 - 1)
NUMERIC = sorted(set(NUMPY) - {"BYTES", "BF16"})


@dataclass
class Part:
    raw: bytes
    number: float
    inner: list[int]


@dataclass
class All:
    n: int
    x: float
    yes: bool
    text: str
    raw: bytes
    many: list[float]
    words: list[str]
    blobs: list[bytes]
    rows: Annotated[npt.NDArray[np.float32], shape(-1, 3)]
    free: npt.NDArray[np.int16]
    part: Part
    table: dict[str, Part | None]


def echo(
    n: int,
    x: float,
    yes: bool,
    text: str,
    raw: bytes,
    many: list[float],
    words: list[str],
    blobs: list[bytes],
    rows: Annotated[npt.NDArray[np.float32], shape(-1, 3)],
    free: npt.NDArray[np.int16],
    part: Part,
    table: dict[str, Part | None],
) -> All:
    return All(n, x, yes, text, raw, many, words, blobs, rows, free, part, table)


TYPES = types_of(echo, where="echo")
PARTS = st.builds(Part, st.binary(max_size=20), st.floats(), st.lists(INTS, max_size=3))
ALL = st.builds(
    All,
    INTS,
    st.floats(),
    st.booleans(),
    TEXT,
    st.binary(max_size=40),
    st.lists(st.floats(), max_size=5),
    st.lists(TEXT, max_size=5),
    st.lists(st.binary(max_size=9), max_size=5),
    arrays.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(3)), elements=st.floats(width=32)),
    arrays.arrays(np.int16, arrays.array_shapes(min_dims=0, max_dims=3, max_side=3)),
    PARTS,
    st.dictionaries(TEXT, st.none() | PARTS, max_size=3),
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        )
    if isinstance(one, float):
        return type(other) is float and (one == other or (math.isnan(one) and math.isnan(other)))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (Part, All)):
        return type(one) is type(other) and same(vars(one), vars(other))
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=100, deadline=None)
@given(ALL)
def test_a_value_is_the_same_through_tensors_and_through_json(value: All) -> None:
    by_tensors = TYPES.value_of(dict(TYPES.result(value)))
    by_json = echo(**TYPES.arguments_json(TYPES.result_json(value)))
    assert same(value, by_tensors)
    assert same(by_tensors, by_json)


@settings(max_examples=100, deadline=None)
@given(ALL)
def test_both_faces_answer_the_same_call_alike(value: All) -> None:
    arguments = dict(vars(value))
    by_tensors = TYPES.arguments(TYPES.tensors_of(arguments))
    by_json = TYPES.arguments_json(TYPES.result_json(value))
    assert same(by_tensors, by_json)
    assert TYPES.result_json(echo(**by_tensors)) == TYPES.result_json(echo(**by_json))


@settings(max_examples=100, deadline=None)
@given(ALL)
def test_what_is_written_is_json_by_the_book(value: All) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(TYPES.result_json(value), parse_constant=refuse)


@pytest.mark.parametrize("datatype", NUMERIC)
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_tensors_of_every_datatype_come_back_from_nested_lists(datatype: str, data: st.DataObject) -> None:
    sizes = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    array = data.draw(arrays.arrays(NUMPY[datatype], sizes))
    spec = TensorSpec("t", datatype, tuple(data.draw(st.sampled_from((-1, size))) for size in sizes))
    types = tensor_types(Signature((spec,), (spec,)), "echo")
    body = types.result_json({"t": Tensor.of(array, datatype)})
    back = types.arguments_json(body)["t"].array
    assert back.shape == array.shape
    assert np.array_equal(back, array, equal_nan=array.dtype.kind == "f")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=8), min_size=1, max_size=5))
def test_bytes_of_a_tensor_come_back_whether_they_are_text_or_not(elements: list[bytes]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    spec = TensorSpec("t", "BYTES", (-1,))
    types = tensor_types(Signature((spec,), (spec,)), "echo")
    back = types.arguments_json(types.result_json({"t": Tensor.of(array)}))["t"]
    assert back.array.tolist() == elements
