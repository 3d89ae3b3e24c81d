from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.join import cut, join, repeat, rows_of
from inferloom.services.tensor import Tensor

texts = st.lists(st.lists(st.binary(max_size=6), min_size=2, max_size=2), min_size=1, max_size=4)
numbers = st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3), min_size=1, max_size=4)


def of_texts(rows: list[list[bytes]]) -> Tensor:
    return Tensor.of(np.array(rows, dtype=object))


def of_numbers(rows: list[list[float]]) -> Tensor:
    return Tensor.of(np.array(rows, dtype=np.float32))


@given(st.lists(texts, min_size=1, max_size=5))
def test_what_is_joined_and_cut_again_is_what_it_was_also_of_texts(parts: list[list[list[bytes]]]) -> None:
    tensors = [of_texts(part) for part in parts]
    sizes = [tensor.shape[0] for tensor in tensors]
    joined = join(tensors, sum(sizes))
    assert joined.array.tolist() == [row for part in parts for row in part]
    assert [piece.array.tolist() for piece in cut(joined, sizes)] == parts


@given(st.lists(numbers, min_size=1, max_size=5))
def test_what_is_joined_and_cut_again_is_what_it_was(parts: list[list[list[float]]]) -> None:
    tensors = [of_numbers(part) for part in parts]
    sizes = [tensor.shape[0] for tensor in tensors]
    assert [piece.array.tolist() for piece in cut(join(tensors, sum(sizes)), sizes)] == [
        tensor.array.tolist() for tensor in tensors
    ]


def test_tensors_of_different_rows_or_none_have_no_number_of_rows() -> None:
    two, one = of_numbers([[1, 2, 3]] * 2), of_numbers([[1, 2, 3]])
    assert rows_of([two, two]) == 2
    assert rows_of([two, one]) is None
    assert rows_of([Tensor("FP32", (), b"0000")]) is None
    assert rows_of([Tensor("FP32", (0, 3), b"")]) is None
    assert rows_of([]) is None


def test_one_row_is_repeated() -> None:
    assert repeat(of_texts([[b"a", b"bc"]]), 3).array.tolist() == [[b"a", b"bc"]] * 3


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (Tensor("FP32", (3, 1), b"0" * 12), "2 rows went in"),
        (Tensor("FP32", (), b"0" * 4), "2 rows went in"),
        (Tensor("FP32", (2, 1), b"0" * 7), "7 bytes"),
        (Tensor("BYTES", (2, 1), b"\1\0\0\0a\1\0\0\0bX"), "left over"),
        (Tensor("BYTES", (2, 1), b"\1\0\0\0a"), "before its last element"),
        (Tensor("BYTES", (2, 1), b"\1\0\0\0a\x09\0\0\0b"), "within an element"),
    ],
)
def test_contents_that_do_not_fit_are_refused(tensor: Tensor, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        cut(tensor, [1, 1])
