"""What an ensemble makes of its members' arrays. Pure functions, element by element or along the last axis.

So a combined batch is row for row what each row alone would have given. Arrays come in the order in which the members are
written, those that have not answered left out; `weights` belong to those that are there. All have one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["COMBINERS", "Array", "Combiner", "concat", "maximum", "mean", "median", "vote"]

Array = np.ndarray[Any, Any]
Combiner = Callable[[Sequence[Array], Sequence[float]], Array]


def mean(arrays: Sequence[Array], weights: Sequence[float]) -> Array:
    """The mean, weighted; floating-point types are kept (FP16 is summed as FP32), whole numbers give FP64."""
    kind, wide = _kinds(arrays[0])
    total = np.zeros(arrays[0].shape, wide)
    for array, weight in zip(arrays, weights, strict=True):
        total += array.astype(wide, copy=False) * wide.type(weight)
    total /= wide.type(sum(weights))
    found: Array = total.astype(kind, copy=False)
    return found


def median(arrays: Sequence[Array], weights: Sequence[float]) -> Array:
    """The median; weights do not matter. Types as `mean`."""
    kind, wide = _kinds(arrays[0])
    found: Array = np.median(np.stack(arrays).astype(wide, copy=False), axis=0).astype(kind, copy=False)
    return found


def maximum(arrays: Sequence[Array], weights: Sequence[float]) -> Array:
    """The largest, its type kept; NaN where one of them is NaN."""
    found: Array = np.max(np.stack(arrays), axis=0)
    return found


def concat(arrays: Sequence[Array], weights: Sequence[float]) -> Array:
    """Side by side along the last axis."""
    return np.concatenate([*arrays], axis=-1)


def vote(arrays: Sequence[Array], weights: Sequence[float]) -> tuple[Array, Array]:
    """The choice with the most weight behind it, and its share (FP64, 0 to 1) of the weight of all who answered.

    A member's choice is its value; of scores (floating point) the index of the largest along the last axis, INT64. Of
    choices with equal weight the one of the member written first wins.
    """
    choices = np.stack([_choice(array) for array in arrays])
    share = np.array(weights, np.float64) / sum(weights)
    behind = np.empty(choices.shape, np.float64)
    for place, choice in enumerate(choices):
        agree = (choices == choice).astype(np.float64)
        behind[place] = np.tensordot(share, agree, axes=1)
    winner = np.argmax(behind.round(9), axis=0)[
        np.newaxis
    ]  # rounded: 0.1 + 0.2 and 0.3 are a tie; argmax takes the first
    label = np.take_along_axis(choices, winner, axis=0)[0]
    return label, np.take_along_axis(behind, winner, axis=0)[0]


def _choice(array: Array) -> Array:
    if array.dtype.kind != "f":
        return array
    found: Array = np.argmax(array, axis=-1).astype(np.int64)
    return found.reshape(1) if not found.ndim else found


def _kinds(array: Array) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The type of the result, and the one to calculate with."""
    if array.dtype.kind != "f":
        return np.dtype(np.float64), np.dtype(np.float64)
    return array.dtype, np.dtype(np.float32) if array.dtype.itemsize < 4 else array.dtype


COMBINERS: Mapping[str, Combiner] = {
    "mean": mean,
    "weighted_mean": mean,
    "median": median,
    "max": maximum,
    "concat": concat,
    "stack": concat,
}
