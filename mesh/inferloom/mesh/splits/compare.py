"""A mirror's answer beside the real one: largest absolute difference, and whether they say the same.

Floating-point outputs agree where the index of the largest value along the last axis is the same in every row: the label a
classifier gives. Where the last axis holds one value there is no such index, and they agree within a thousandth of the real
value. All other outputs (integers, BOOL, BYTES) agree where they are equal. JSON agrees where it is the same value.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from inferloom.mesh.oip import CALL, MODEL_INFER, pb
from inferloom.v1 import typed_pb2

__all__ = ["Comparison", "compare"]

CLOSE = 1e-3  # of the real value
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
NUMBERS = {"BOOL": "|b1"} | {
    f"{sign}INT{bits}": f"<{kind}{bits // 8}" for sign, kind in (("", "i"), ("U", "u")) for bits in (8, 16, 32, 64)
}
Array = npt.NDArray[Any]


class Comparison(NamedTuple):
    """What the pair says."""

    agrees: bool
    difference: float | None = None  # largest absolute one over all numbers; None: there are none to compare


def compare(method: str, real: bytes, mirrored: bytes) -> Comparison:
    """Compare two answers of a method.

    Raises:
        ValueError: an answer is no message of the method.
    """
    try:
        if method == CALL.path:
            one, other = (typed_pb2.TypedResponse.FromString(answer).json for answer in (real, mirrored))
            return Comparison(one == other or bool(json.loads(one) == json.loads(other)))
        assert method == MODEL_INFER.path
        first, second = (_outputs(pb.ModelInferResponse.FromString(answer)) for answer in (real, mirrored))
    except DecodeError as error:
        raise ValueError(str(error)) from None
    agrees, largest = first.keys() == second.keys(), None
    for name in first.keys() & second.keys():
        same, difference = _tensors(first[name], second[name])
        agrees &= same
        if difference is not None:
            largest = difference if largest is None else max(largest, difference)
    return Comparison(agrees, largest)


class _Output(NamedTuple):
    datatype: str
    shape: tuple[int, ...]
    raw: bytes
    typed: bytes  # of an answer that does not use raw_output_contents


def _outputs(response: Any) -> dict[str, _Output]:
    found = {}
    for number, output in enumerate(response.outputs):
        raw = response.raw_output_contents[number] if number < len(response.raw_output_contents) else b""
        found[output.name] = _Output(
            output.datatype, tuple(output.shape), raw, output.contents.SerializeToString(deterministic=True)
        )
    return found


def _tensors(one: _Output, other: _Output) -> tuple[bool, float | None]:
    if (one.datatype, one.shape) != (other.datatype, other.shape):
        return False, None
    if one.typed or other.typed or one.datatype not in (*FLOATS, *NUMBERS, "BF16"):
        return one == other, None
    first, second = (_array(output) for output in (one, other))
    if not first.size:
        return True, None
    difference = _largest(first, second)
    if one.datatype in NUMBERS:
        return bool((first == second).all()), difference  # the difference of large ones is rounded
    if first.ndim and first.shape[-1] > 1:
        return bool((first.argmax(-1) == second.argmax(-1)).all()), difference
    return bool(np.isclose(second, first, rtol=CLOSE, atol=0.0, equal_nan=True).all()), difference


def _largest(first: Array, second: Array) -> float:
    """Largest absolute difference; two NaNs are equal, one alone is infinitely far from any number."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(first.astype(np.float64) - second.astype(np.float64))
    equal = (first == second) | ((first != first) & (second != second))
    return float(np.where(equal, 0.0, np.where(np.isnan(apart), np.inf, apart)).max())


def _array(output: _Output) -> Array:
    if output.datatype == "BF16":
        widened = np.frombuffer(output.raw, "<u2").astype("<u4") << 16
        return widened.view("<f4").reshape(output.shape)
    return np.frombuffer(output.raw, FLOATS.get(output.datatype) or NUMBERS[output.datatype]).reshape(output.shape)
