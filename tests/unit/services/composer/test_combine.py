"""Combiners against numpy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inferloom.services.composer.combine import concat, maximum, mean, median, vote

Array = np.ndarray[Any, Any]
weights = st.lists(st.floats(0.1, 10), min_size=4, max_size=4)
floats = arrays.arrays(np.float32, (4, 3, 2), elements=st.floats(-100, 100, width=32))
labels = arrays.arrays(np.int64, (5, 6), elements=st.integers(0, 3))


@given(floats, weights)
def test_mean_is_numpys_average(given: Array, weighted: list[float]) -> None:
    found = mean(list(given), weighted)
    assert found.dtype == np.float32
    assert np.allclose(found, np.average(given.astype(np.float64), axis=0, weights=weighted), atol=1e-3)


@given(floats)
def test_median_and_maximum_are_numpys(given: Array) -> None:
    assert np.array_equal(median(list(given), [1] * 4), np.median(given, axis=0))
    assert np.array_equal(maximum(list(given), [1] * 4), given.max(axis=0))


@pytest.mark.parametrize(("kind", "gives"), [("f2", "f2"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u1", "f8")])
def test_floating_types_are_kept_and_whole_numbers_give_fp64(kind: str, gives: str) -> None:
    given = [np.array([1, 2], kind), np.array([2, 4], kind)]
    for function in (mean, median):
        found = function(given, [1, 1])
        assert found.dtype == np.dtype(gives)
        assert found.tolist() == [1.5, 3.0]
    assert maximum(given, [1, 1]).dtype == np.dtype(kind)


def test_concat_is_along_the_last_axis() -> None:
    one, two = np.ones((2, 1)), np.zeros((2, 3))
    assert concat([one, two], ()).tolist() == [[1, 0, 0, 0]] * 2


@given(labels)
def test_a_vote_is_the_most_common_value_and_its_share(given: Array) -> None:
    label, share = vote(list(given), [1.0] * 5)
    for column in range(given.shape[1]):
        counted = Counter(given[:, column].tolist())  # of equal counts the one that came first
        wanted, count = counted.most_common(1)[0]
        assert label[column] == wanted
        assert share[column] == pytest.approx(count / 5)


def test_weights_decide_a_vote_and_a_tie_goes_to_the_member_written_first() -> None:
    votes = [np.array([1]), np.array([2]), np.array([2])]
    assert vote(votes, [1, 1, 1])[0].tolist() == [2]
    assert vote(votes, [3, 1, 1])[0].tolist() == [1]
    tied, share = vote(votes, [0.3, 0.1, 0.2])  # 0.1 + 0.2 is not quite 0.3
    assert tied.tolist() == [1]
    assert share.tolist() == pytest.approx([0.5])


def test_scores_vote_with_the_index_of_the_largest() -> None:
    scores = [np.array([[0.1, 0.9], [0.6, 0.4]], np.float32), np.array([[0.2, 0.8], [0.1, 0.9]], np.float32)]
    label, share = vote(scores, [1, 1])
    assert label.tolist() == [1, 0]
    assert label.dtype == np.int64
    assert share.tolist() == [1.0, 0.5]
    assert vote([np.array([0.1, 0.9], np.float32)], [1])[0].tolist() == [1]


def test_texts_can_be_voted_on() -> None:
    votes = [np.array([b"cat"], object), np.array([b"dog"], object), np.array([b"dog"], object)]
    label, share = vote(votes, [1, 1, 1])
    assert label.tolist() == [b"dog"]
    assert share.tolist() == pytest.approx([2 / 3])
