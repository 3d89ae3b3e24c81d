"""Constants: from Python into the document, and from there to tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.constants import tensor_of, value_of


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "array"),
    [
        (3, "INT64", (1,), [3]),
        (3.5, "FP64", (1,), [3.5]),
        (True, "BOOL", (1,), [True]),
        ("text", "BYTES", (1,), [b"text"]),
        (b"\xff\x00", "BYTES", (1,), [b"\xff\x00"]),
        ([1, 2], "INT64", (2,), [1, 2]),
        (["a", "b"], "BYTES", (2,), [b"a", b"b"]),
        (np.array([[0.5], [1.5]], np.float32), "FP64", (2, 1), [[0.5], [1.5]]),
    ],
)
def test_a_constant_says_itself_what_it_is(value: Any, datatype: str, shape: tuple[int, ...], array: Any) -> None:
    tensor = tensor_of(value_of(value), None)
    assert (tensor.datatype, tensor.shape) == (datatype, shape)
    assert tensor.array.tolist() == array


def test_a_constant_becomes_what_takes_it() -> None:
    tensor = tensor_of(value_of(3), TensorSpec("k", "FP32", (1,)))
    assert (tensor.datatype, tensor.shape, tensor.array.tolist()) == ("FP32", (1,), [3.0])


def test_of_a_row_wise_input_a_constant_is_one_row() -> None:
    tensor = tensor_of(value_of([1, 2]), TensorSpec("x", "FP32", (-1, 2)), row=True)
    assert (tensor.shape, tensor.array.tolist()) == ((1, 2), [[1.0, 2.0]])
    assert tensor_of(value_of(7), TensorSpec("k", "INT64", (-1,)), row=True).shape == (1,)
    assert tensor_of(value_of(7), TensorSpec("k", "INT64", (-1, 1)), row=True).shape == (1, 1)


def test_a_dataclass_is_json_text() -> None:
    @dataclass
    class Box:
        x: int

    assert tensor_of(value_of(Box(3)), None).array.tolist() == [b'{"x": 3}']


@pytest.mark.parametrize(
    ("value", "spec", "message"),
    [
        ("a", TensorSpec("k", "INT64", (1,)), "'a' is no INT64"),
        (1.5, TensorSpec("k", "INT64", (1,)), "1.5 is no INT64"),
        (300, TensorSpec("k", "UINT8", (1,)), "300 is no UINT8"),
        (True, TensorSpec("k", "INT64", (1,)), "True is no INT64"),
        (3, TensorSpec("k", "BYTES", (1,)), "3 is no text for BYTES (write it in quotes)"),
        ([1, 2], TensorSpec("k", "INT64", (3,)), "a value of shape [2]; it is k INT64 [3]"),
    ],
)
def test_a_constant_that_does_not_fit_is_refused(value: Any, spec: TensorSpec, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        tensor_of(value_of(value), spec)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2**60, f"{2**60} is beyond 2**53, where a constant is not exact; make it in a @step"),
        (np.zeros(5000), "a constant of 5000 values; 4096 is the most: make it in a @step"),
        (object, "a type cannot be a constant; numbers, text, bytes, lists and arrays can"),
    ],
)
def test_what_cannot_be_stored_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        value_of(value)
    assert str(raised.value) == message
