from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic_core import from_json

from inferloom.clients.datatypes import NUMPY
from inferloom.clients.tensors import decode, encode
from inferloom.mesh.errors import InvalidInput
from inferloom.services.rest.response import json_bytes
from inferloom.services.rest.values import read_values, write_values

PLACE = "inputs[0] 'x'"
NUMBERS = sorted(set(NUMPY) - {"BYTES", "BF16", "FP16"})


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Any]:
    datatype = draw(st.sampled_from(NUMBERS))
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return datatype, draw(npst.arrays(NUMPY[datatype], shape))


@given(tensors())
@settings(max_examples=200, deadline=None)
def test_every_number_is_the_same_after_json(tensor: tuple[str, Any]) -> None:
    datatype, array = tensor
    raw = bytes(encode(array, datatype))

    written = json_bytes(write_values(raw, datatype, array.shape, "x"))
    for data in (from_json(written), from_json(json_bytes(np.atleast_1d(array).tolist()))):
        back = decode(read_values(data, datatype, array.shape, PLACE), datatype, array.shape)
        np.testing.assert_array_equal(back, array)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_text_is_the_same_after_json(texts: list[str]) -> None:
    raw = read_values(texts, "BYTES", [len(texts)], PLACE)

    assert write_values(raw, "BYTES", [len(texts)], "x") == texts


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "said"),
    [
        (5, "FP32", [1], r"inputs\[0\] 'x'\.data: takes a list, got 5"),
        ([1, 2], "FP32", [3], r"\.data: 2 elements; shape \[3\] has 3"),
        ([[1, 2], 3], "FP32", [3], r"\.data: lists and values stand side by side, such as 3"),
        ([1, "2"], "FP32", [2], r"\.data\[1\]: takes FP32, got '2'"),
        ([1, None], "FP64", [2], r"\.data\[1\]: takes FP64, got null"),
        ([1, True], "INT32", [2], r"\.data\[1\]: takes INT32, got True"),
        ([1.5], "INT64", [1], r"\.data\[0\]: takes INT64, got 1\.5"),
        ([0, 1], "BOOL", [2], r"\.data\[0\]: takes BOOL, got 0"),
        ([{"a": 1}], "BYTES", [1], r"\.data\[0\]: takes BYTES, got an object"),
        ([127, 128], "INT8", [2], r"\.data\[1\]: 128 is out of the range of INT8"),
        ([-1], "UINT64", [1], r"\.data\[0\]: -1 is out of the range of UINT64"),
        ([10**400], "FP64", [1], r"\.data: an integer exceeds FP64"),
        ([1.0], "FP16", [1], r"FP16 has no JSON; send it as binary data"),
        ([1.0], "BF16", [1], r"BF16 has no JSON"),
        ([1.0], "FP8", [1], r"datatype 'FP8'; known are"),
        (["\ud800"], "BYTES", [1], r"text that is no Unicode"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(data: Any, datatype: str, shape: list[int], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_values(data, datatype, shape, PLACE)


def test_lists_may_be_nested_as_they_like() -> None:
    flat = read_values([1, 2, 3, 4], "INT32", [2, 2], PLACE)

    assert read_values([[1, 2], [3, 4]], "INT32", [2, 2], PLACE) == flat
    assert read_values([[[1], [2], [3], [4]]], "INT32", [2, 2], PLACE) == flat


def test_infinities_and_nan_are_written_bare() -> None:
    values = [math.nan, math.inf, -math.inf]

    text = json_bytes(write_values(np.array(values, "<f4").tobytes(), "FP32", [3], "x"))
    assert text == b"[NaN,Infinity,-Infinity]"
    assert str(json.loads(text)) == str(values)
    assert np.isnan(decode(read_values(from_json(text), "FP32", [3], PLACE), "FP32", [3])[0])


def test_a_number_beyond_single_precision_becomes_infinite() -> None:
    assert np.isinf(decode(read_values([1e300], "FP32", [1], PLACE), "FP32", [1])).all()


@pytest.mark.parametrize(
    ("raw", "datatype", "said"),
    [
        (b"\0\0", "FP16", "FP16 has no JSON"),
        (b"\x01\0\0\0\xff", "BYTES", "its BYTES are no UTF-8 text"),
    ],
)
def test_outputs_without_json_say_how_to_ask_for_them(raw: bytes, datatype: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"output 'y': {said}; ask for it with the parameter \"binary_data\": true"):
        write_values(raw, datatype, [1], "y")
