"""A mirror's answer beside the real one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from inferloom.mesh.oip import CALL, MODEL_INFER, pb
from inferloom.mesh.splits.compare import Comparison, compare
from inferloom.v1 import typed_pb2

TYPES = {"f2": "FP16", "f4": "FP32", "f8": "FP64", "i4": "INT32", "u1": "UINT8", "b1": "BOOL"}


def answer(**outputs: Any) -> bytes:
    response = pb.ModelInferResponse()
    for name, value in outputs.items():
        datatype = TYPES[value.dtype.str[1:]]
        response.outputs.add(name=name, datatype=datatype, shape=value.shape)
        response.raw_output_contents.append(value.tobytes())
    return bytes(response.SerializeToString())


def floats(*values: Any) -> Any:
    return np.array(values, np.float32)


def pair(one: Any, other: Any) -> Comparison:
    return compare(MODEL_INFER.path, answer(y=one), answer(y=other))


def test_probabilities_agree_where_the_largest_is_the_same_in_every_row() -> None:
    drawn = pair(floats([0.2, 0.8], [0.9, 0.1]), floats([0.4, 0.6], [0.8, 0.2]))
    assert drawn.agrees
    assert drawn.difference == pytest.approx(0.2)
    assert not pair(floats([0.2, 0.8], [0.9, 0.1]), floats([0.2, 0.8], [0.1, 0.9])).agrees


@pytest.mark.parametrize("kind", ["float16", "float64", "int32", "uint8", "bool"])
def test_equal_answers_of_every_type_agree_and_differ_by_nothing(kind: str) -> None:
    value = np.array([[1, 0, 1]], kind)
    assert pair(value, value.copy()) == Comparison(True, 0.0)


def test_integers_agree_only_where_they_are_equal() -> None:
    assert pair(np.array([3, 5], np.int32), np.array([3, 9], np.int32)) == Comparison(False, 4.0)
    assert not pair(np.array([2**31 - 1], np.int32), np.array([2**31 - 2], np.int32)).agrees
    assert pair(np.array([255], np.uint8), np.array([0], np.uint8)) == Comparison(False, 255.0)


def test_one_value_in_the_last_axis_agrees_within_a_thousandth() -> None:
    assert pair(floats([100.0]), floats([100.05])).agrees
    assert not pair(floats([100.0]), floats([100.5])).agrees
    assert pair(np.float32(2.0).reshape(()), np.float32(2.0).reshape(())).agrees


def test_two_nans_are_equal_and_one_alone_is_infinitely_far() -> None:
    assert pair(floats([math.nan]), floats([math.nan])) == Comparison(True, 0.0)
    assert pair(floats([1.0]), floats([math.nan])) == Comparison(False, math.inf)
    assert pair(floats([math.inf]), floats([math.inf])) == Comparison(True, 0.0)


def test_other_shapes_types_or_outputs_do_not_agree_and_have_no_difference() -> None:
    assert pair(floats([1.0]), floats([1.0, 2.0])) == Comparison(False, None)
    assert pair(floats(1), np.array([1], np.int32)) == Comparison(False, None)
    assert not compare(MODEL_INFER.path, answer(y=floats(1)), answer(y=floats(1), z=floats(1))).agrees


def test_no_rows_at_all_agree() -> None:
    assert pair(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)) == Comparison(True, None)


def test_bytes_and_typed_contents_agree_where_they_are_equal() -> None:
    def text(value: bytes) -> bytes:
        response = pb.ModelInferResponse()
        response.outputs.add(name="y", datatype="BYTES", shape=[1]).contents.bytes_contents.append(value)
        return bytes(response.SerializeToString())

    assert compare(MODEL_INFER.path, text(b"cat"), text(b"cat")) == Comparison(True, None)
    assert compare(MODEL_INFER.path, text(b"cat"), text(b"dog")) == Comparison(False, None)


def test_bf16_is_read_as_the_upper_half_of_a_float() -> None:
    def half(*values: float) -> bytes:
        raw = (np.array(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        response = pb.ModelInferResponse(raw_output_contents=[raw])
        response.outputs.add(name="y", datatype="BF16", shape=[len(values)])
        return bytes(response.SerializeToString())

    assert compare(MODEL_INFER.path, half(1.0, 2.0), half(1.0, 4.0)) == Comparison(True, 2.0)


def test_json_agrees_where_it_is_the_same_value() -> None:
    def typed(text: bytes) -> bytes:
        return typed_pb2.TypedResponse(json=text).SerializeToString()

    assert compare(CALL.path, typed(b'{"a": 1, "b": 2}'), typed(b'{"b":2,"a":1}')).agrees
    assert not compare(CALL.path, typed(b'{"a": 1}'), typed(b'{"a": 2}')).agrees


@pytest.mark.parametrize("broken", [b"\xff\xff", answer(y=floats(1, 2)).replace(b"FP32", b"FP64")])
def test_what_is_no_answer_is_a_value_error(broken: bytes) -> None:
    with pytest.raises(ValueError):
        compare(MODEL_INFER.path, broken, broken)
