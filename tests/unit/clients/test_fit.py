"""What a model takes is explained before anything is sent."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from inferloom.clients.fit import check_outputs, fit
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import InvalidInput


def model(*inputs: TensorSpec, max_batch_size: int | None = 8) -> ModelMetadata:
    outputs = (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 10)))
    return ModelMetadata("m", ("1",), "onnxruntime", inputs, outputs, max_batch_size)


PIXELS = TensorSpec("pixels", "FP32", (-1, 4))
LONE = model(PIXELS)
TWO = model(
    TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "INT64", (-1, 1)), TensorSpec("c", "BYTES", (-1, 1), True)
)


def one(datatype: str, shape: tuple[int, ...] = (-1,)) -> ModelMetadata:
    return model(TensorSpec("x", datatype, shape), max_batch_size=0)


@pytest.mark.parametrize(
    ("metadata", "inputs", "message"),
    [
        (LONE, {"pixel": [0]}, "no input 'pixel'; m takes pixels FP32 [-1,4] (did you mean 'pixels'?)"),
        (LONE, {"PIXELS": [0]}, "no input 'PIXELS'; m takes pixels FP32 [-1,4] (did you mean 'pixels'?)"),
        (LONE, {"zebra": [0]}, "no input 'zebra'; m takes pixels FP32 [-1,4]"),
        (LONE, {}, "input 'pixels' is missing; m takes pixels FP32 [-1,4]"),
        (
            TWO,
            {"a": [[1, 2]]},
            "input 'b' is missing; m takes a FP32 [-1,2], b INT64 [-1,1], c BYTES [-1,1] (optional)",
        ),
        (TWO, [1, 2], "m takes a FP32 [-1,2], b INT64 [-1,1], c BYTES [-1,1] (optional): name them, as in {'a': ...}"),
        (
            LONE,
            np.zeros((2, 3), np.float32),
            "input 'pixels' of m takes shape [-1,4] (-1: any size), got [2, 3]",
        ),
        (
            LONE,
            np.zeros((2, 8), np.float32),
            "input 'pixels' of m takes shape [-1,4] (-1: any size), got [2, 8]; .reshape(-1, 4) would fit",
        ),
        (one("FP32", (2, 2)), np.zeros(4, np.float32), "input 'x' of m takes shape [2,2], got [4]"),
        (LONE, np.zeros((9, 4), np.float32), "m takes batches of at most 8, got 9: send it in parts"),
        (TWO, {"a": np.zeros((3, 2)), "b": [1]}, "the inputs of m differ in batch size: a 3, b 1"),
        (LONE, [[1, 2], [3]], "input 'pixels' of m takes FP32, got a list, but its rows differ in length"),
        (LONE, "seven", "input 'pixels' of m takes FP32, got text"),
        (LONE, [1, None, 2, 3], "input 'pixels' of m takes FP32, got a NoneType among its elements"),
        (LONE, np.array([1j] * 4), "input 'pixels' of m takes FP32, got complex128"),
        (LONE, [1e300, 0, 0, 0], "input 'pixels' of m takes FP32, got float64 with values beyond 3.4e+38"),
        (
            one("INT32"),
            [1.5],
            "input 'x' of m takes INT32, got float64; .astype('int32') would cut off what follows the point",
        ),
        (one("UINT8"), [3, 300], "input 'x' of m takes UINT8, from 0 to 255, got 300"),
        (one("UINT8"), [-1], "input 'x' of m takes UINT8, from 0 to 255, got -1"),
        (one("BOOL"), [2], "input 'x' of m takes BOOL, from 0 to 1, got 2"),
        (one("BYTES"), np.array([1]), "input 'x' of m takes BYTES, text or bytes, got int64"),
        (one("INT64"), [2**70], "input 'x' of m takes INT64, got an integer of more than 64 bits"),
    ],
)
def test_the_message_names_the_thing_and_the_cure(metadata: ModelMetadata, inputs: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        fit(inputs, metadata)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("datatype", "given", "expected", "noted"),
    [
        ("FP32", np.array([1.5], np.float64), np.array([1.5], np.float32), True),
        ("FP32", [1.5], np.array([1.5], np.float32), False),
        ("FP32", [1, 2], np.array([1, 2], np.float32), False),
        ("FP32", np.array([7], np.uint8), np.array([7], np.float32), False),
        ("FP32", [2**24 + 1], np.array([2**24], np.float32), True),
        ("FP32", [True], np.array([1], np.float32), False),
        ("FP32", np.array([1.5], ">f4"), np.array([1.5], np.float32), False),
        ("FP32", np.array([1.5], ml_dtypes.bfloat16), np.array([1.5], np.float32), False),
        ("FP32", [], np.array([], np.float32), False),
        ("FP64", np.array([1.5], np.float32), np.array([1.5], np.float64), False),
        ("FP16", np.array([1.5], np.float32), np.array([1.5], np.float16), True),
        ("BF16", np.array([1.5], np.float32), np.array([1.5], np.float32), False),
        ("BF16", np.array([1.5]), np.array([1.5], np.float32), True),
        ("BF16", np.array([257], np.int16), np.array([257], np.float32), True),
        ("INT8", [1, -2], np.array([1, -2], np.int8), False),
        ("INT64", [], np.array([], np.int64), False),
        ("UINT64", [2**64 - 1], np.array([2**64 - 1], np.uint64), False),
        ("BOOL", [True, False], np.array([True, False]), False),
        ("BOOL", [1, 0], np.array([True, False]), False),
    ],
)
def test_casts_are_silent_where_they_are_exact(
    datatype: str, given: Any, expected: np.ndarray[Any, Any], noted: bool
) -> None:
    (found,) = fit(given, one(datatype))
    assert found.array.dtype == expected.dtype
    assert found.array.tolist() == expected.tolist()
    assert bool(found.note) == noted


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ([1, 2, 3, 4], (1, 4)),
        ([[1, 2, 3, 4]], (1, 4)),
        (np.zeros((3, 4), np.float32), (3, 4)),
    ],
)
def test_a_missing_batch_dimension_is_added(given: Any, shape: tuple[int, ...]) -> None:
    (found,) = fit(given, LONE)
    assert found.array.shape == shape


def test_a_scalar_or_a_text_fills_a_tensor_of_one_element() -> None:
    assert fit("hello", one("BYTES", (-1, 1)))[0].array.tolist() == [["hello"]]
    assert fit(3, one("INT64", (-1,)))[0].array.tolist() == [3]


def test_a_batch_dimension_is_added_only_where_the_model_has_one() -> None:
    with pytest.raises(InvalidInput, match=r"takes shape \[2,4\], got \[4\]"):
        fit([1, 2, 3, 4], one("FP32", (2, 4)))


def test_bytes_keep_a_nul_at_their_end() -> None:
    assert fit(b"a\0", one("BYTES"))[0].array.tolist() == [b"a\0"]
    assert fit([b"a\0", "b"], one("BYTES"))[0].array.tolist() == [b"a\0", "b"]
    assert fit(bytearray(b"a\0"), one("BYTES"))[0].array.tolist() == [b"a\0"]


def test_a_list_for_an_integer_tensor_may_be_empty() -> None:
    assert fit([], one("INT32"))[0].array.dtype == np.int32


def test_without_a_configuration_a_missing_input_is_left_to_the_server() -> None:
    assert fit({}, model(PIXELS, max_batch_size=None)) == []


def test_an_optional_input_may_be_missing() -> None:
    assert [f.name for f in fit({"a": [[1, 2]], "b": [[1]]}, TWO)] == ["a", "b"]


def test_a_lone_value_goes_to_the_only_input_that_is_required() -> None:
    metadata = model(PIXELS, TensorSpec("hint", "BYTES", (-1, 1), True))
    assert [f.name for f in fit([1, 2, 3, 4], metadata)] == ["pixels"]


def test_an_array_like_object_is_taken() -> None:
    class Frame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
            return np.ones((2, 4), np.float32)

    assert fit(Frame(), LONE)[0].array.shape == (2, 4)


def test_an_unknown_output_is_explained() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_outputs(["lable"], LONE)
    expected = "no output 'lable'; m gives label INT64 [-1], probabilities FP32 [-1,10] (did you mean 'label'?)"
    assert str(caught.value) == expected


class Frame:
    """As pandas and Arrow have them."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([[1, 2]])


JSON = model(TensorSpec("rows", "BYTES", (1,), json=True), max_batch_size=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([[1.0, 2.0], [3.0]], "[[1.0, 2.0], [3.0]]"),
        ({"rows": {"at": np.float32(0.5), "labels": np.array([1, 2])}}, '{"at": 0.5, "labels": [1, 2]}'),
        ({"rows": [Frame()]}, "[[[1, 2]]]"),
        ({"rows": None}, "null"),
        (["a"], '["a"]'),
        (np.ones((2, 1), np.float32), "[[1.0], [1.0]]"),
        ('[["told"]]', '[["told"]]'),
        (b"7", b"7"),
        (np.array(["[1]"]), "[1]"),
    ],
)
def test_a_value_for_json_is_written_as_json_and_text_goes_as_it_is(value: Any, text: str | bytes) -> None:
    [found] = fit(value, JSON)
    assert (found.datatype, found.array.shape, found.array.tolist(), found.note) == ("BYTES", (1,), [text], "")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1, 2}, "got a set: JSON has no set"),
        ([float("nan")], "got a list: Out of range float values are not JSON compliant"),
    ],
)
def test_what_json_has_no_form_for_is_refused(value: Any, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"input 'rows' of m takes JSON, {why}"):
        fit(value, JSON)
