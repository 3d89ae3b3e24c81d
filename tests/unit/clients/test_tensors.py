"""Encoding and decoding tensors is numpy's own round trip, for each datatype of the protocol."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inferloom.clients.datatypes import BF16, BYTES, NUMPY, datatype_of
from inferloom.clients.tensors import decode, decode_typed, encode
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NUMERIC = sorted(set(NUMPY) - {BYTES, BF16})


def same(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    """Equal bit by bit, NaNs too."""
    return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


@pytest.mark.parametrize("datatype", NUMERIC)
@given(data=st.data())
def test_a_numeric_array_comes_back_bit_by_bit(datatype: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(NUMPY[datatype], SHAPES))
    assert same(decode(bytes(encode(array, datatype)), datatype, array.shape), array)
    assert datatype_of(array, "x") == datatype


@pytest.mark.parametrize("datatype", NUMERIC)
@given(data=st.data())
def test_strided_transposed_and_big_endian_arrays_are_sent_in_row_major_little_endian(
    datatype: str, data: st.DataObject
) -> None:
    array = data.draw(hnp.arrays(NUMPY[datatype], hnp.array_shapes(min_dims=2, max_dims=3, max_side=4)))
    for view in (array.T, array[::-1], array[:, ::2], array.astype(array.dtype.newbyteorder(">"))):
        assert bytes(encode(view, datatype)) == view.astype(NUMPY[datatype]).tobytes()


@given(array=hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_bf16_rounds_to_the_nearest_even_as_ml_dtypes_does(array: np.ndarray[Any, Any]) -> None:
    found = decode(bytes(encode(array, BF16)), BF16, array.shape)
    with np.errstate(all="ignore"):
        expected = array.astype(ml_dtypes.bfloat16)
    assert np.array_equal(found, expected.astype(np.float32), equal_nan=True)
    again = decode(bytes(encode(expected, BF16)), BF16, array.shape)
    assert np.array_equal(again, expected.astype(np.float32), equal_nan=True)


ELEMENT = st.one_of(st.binary(max_size=9), st.just(b"\0"), st.just(b""))


@given(data=st.data(), shape=SHAPES)
def test_bytes_come_back_as_they_were(data: st.DataObject, shape: tuple[int, ...]) -> None:
    array = data.draw(hnp.arrays(object, shape, elements=ELEMENT, fill=st.nothing()))
    found = decode(encode(array, BYTES), BYTES, shape)
    assert found.shape == shape
    assert found.ravel().tolist() == array.ravel().tolist()


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=6))
def test_text_is_sent_as_utf8(texts: list[str]) -> None:
    array = np.array([*texts, None], dtype=object)[:-1]
    found = decode(encode(array, BYTES), BYTES, array.shape)
    assert [element.decode() for element in found] == texts


@given(size=st.integers(1, 5), count=st.integers(1, 5), data=st.data())
def test_elements_of_one_length_decode_the_same_way(size: int, count: int, data: st.DataObject) -> None:
    elements = data.draw(st.lists(st.binary(min_size=size, max_size=size), min_size=count, max_size=count))
    array = np.array([*elements, None], dtype=object)[:-1]
    assert decode(encode(array, BYTES), BYTES, (count,)).tolist() == elements


def test_numpy_text_arrays_are_sent_too() -> None:
    for array in (np.array(["a", "été"]), np.array([b"a", b"bcd"])):
        assert decode(encode(array, BYTES), BYTES, (2,)).size == 2


def test_a_contiguous_array_is_encoded_without_a_copy() -> None:
    array = np.zeros((3, 4), np.float32)
    buffer = encode(array, "FP32")
    array[0, 0] = 1
    assert bytes(buffer) == array.tobytes()


def test_a_decoded_array_is_a_read_only_view() -> None:
    data = np.arange(3, dtype=np.int64).tobytes()
    array = decode(data, "INT64", (3,))
    assert np.shares_memory(array, np.frombuffer(data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@pytest.mark.parametrize(
    ("data", "datatype", "shape", "message"),
    [
        (b"abc", "FP32", (1,), "tensor 't' came with 3 bytes; FP32 [1] has 4"),
        (b"\2\0\0\0a", BYTES, (1,), "tensor 't' has 5 bytes, which are not 1 elements of BYTES"),
        (b"\1\0\0\0ab", BYTES, (1,), "tensor 't' has 6 bytes, which are not 1 elements of BYTES"),
        (b"\1\0", BYTES, (1,), "tensor 't' has 2 bytes, which are not 1 elements of BYTES"),
        (b"", BYTES, (2,), "tensor 't' has 0 bytes, which are not 2 elements of BYTES"),
        (b"", "FP12", (0,), "tensor 't' has datatype 'FP12'; known are"),
    ],
)
def test_contents_that_are_not_what_they_say_are_refused(
    data: bytes, datatype: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(data, datatype, shape, "t")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("datatype", sorted(set(NUMPY) - {"FP16", BF16}))
@given(data=st.data())
def test_typed_contents_of_other_servers_are_read(datatype: str, data: st.DataObject) -> None:
    elements = st.binary(max_size=3) if datatype == BYTES else hnp.from_dtype(NUMPY[datatype])
    array = data.draw(hnp.arrays(NUMPY[datatype], SHAPES, elements=elements, fill=st.nothing()))
    field = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", BYTES: "bytes"}
    name = field.get(datatype, "uint" if datatype.startswith("U") else "int") + "_contents"
    contents = pb.InferTensorContents(**{name: array.ravel().tolist()})
    found = decode_typed(contents, datatype, array.shape, "x")
    assert found.shape == array.shape
    assert found.tolist() == array.tolist() or bool(np.isnan(array.astype(float)).any())


def test_fp16_has_no_typed_contents() -> None:
    with pytest.raises(InvalidInput, match="FP16, which only raw contents can hold"):
        decode_typed(pb.InferTensorContents(), "FP16", (0,), "x")


def test_a_dtype_the_protocol_has_not_is_named() -> None:
    with pytest.raises(InvalidInput, match="tensor 'x' is an array of complex128"):
        datatype_of(np.array([1j]), "x")
