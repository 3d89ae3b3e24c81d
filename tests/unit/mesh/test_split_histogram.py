"""Counts in fixed buckets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.splits.histogram import COARSE, DIFFERENCES, LATENCIES, Histogram

values = st.lists(st.floats(1e-5, 500.0), min_size=1, max_size=200)


@settings(deadline=None)
@given(values, st.sampled_from([0.01, 0.5, 0.9, 0.99]))
def test_a_quantile_is_right_within_the_width_of_a_bucket(drawn: list[float], part: float) -> None:
    histogram = Histogram(LATENCIES)
    for value in drawn:
        histogram.add(value)
    exact = float(np.quantile(drawn, part, method="inverted_cdf"))
    assert 0.8 * exact <= histogram.quantile(part) + 5e-5
    assert histogram.quantile(part) <= 1.26 * exact + 5e-5


@settings(deadline=None)
@given(values, values)
def test_two_histograms_merged_are_one_of_all_values(one: list[float], other: list[float]) -> None:
    both, left, right = (Histogram(LATENCIES) for _ in range(3))
    for histogram, part in ((both, one + other), (left, one), (right, other)):
        for value in part:
            histogram.add(value)
    left.merge(right)
    assert left.counts == both.counts
    assert left.most == both.most
    assert left.mean == pytest.approx(both.mean)


def test_each_bucket_is_narrow_and_keeps_the_coarse_bounds() -> None:
    assert set(COARSE) <= set(LATENCIES)
    assert all(high / low < 1.26 for low, high in pairwise(LATENCIES))


def test_equal_answers_have_a_bucket_of_their_own() -> None:
    histogram = Histogram(DIFFERENCES)
    for value in (0.0, 0.0, 1e-4, float("inf")):
        histogram.add(value)
    assert histogram.below(0.0) == 2
    assert histogram.count == 4
    assert histogram.quantile(0.25) == 0.0
    assert histogram.quantile(0.99) == float("inf")


def test_an_empty_one_says_0() -> None:
    assert (Histogram(LATENCIES).quantile(0.5), Histogram(LATENCIES).mean) == (0.0, 0.0)


def test_one_of_other_bounds_is_not_merged() -> None:
    mine, other = Histogram(LATENCIES), Histogram(DIFFERENCES)
    other.add(1.0)
    mine.merge(other)
    assert mine.count == 0
