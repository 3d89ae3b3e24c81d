"""Casts between dtypes that never lose a value in silence."""

from __future__ import annotations

from typing import Any

import numpy as np

from inferloom.clients.datatypes import BF16, BYTES, numpy_type
from inferloom.mesh.errors import InvalidInput

__all__ = ["cast"]

Array = np.ndarray[Any, Any]


def cast(array: Array, datatype: str, *, given: bool) -> tuple[Array, str]:
    """The array in the dtype of `datatype`, and a note for the caller where digits may be lost ("" otherwise).

    Args:
        given: the caller chose this dtype (an array); False where numpy chose it (a list or a number).

    Raises:
        InvalidInput: a value would be lost; the message continues "input 'x' of m takes FP32, ".
    """
    target = numpy_type(datatype, "")
    kind = array.dtype.kind
    if datatype == BYTES:
        if kind not in "OUST" and array.size:
            raise InvalidInput(f"text or bytes, got {array.dtype}")
        return array.astype(object) if kind == "T" or not array.size else array, ""
    if array.dtype.name == "bfloat16":
        if datatype == BF16:
            return array, ""
        array, kind = array.astype(np.float32), "f"  # exact
    if array.dtype == target:
        return array, ""
    if kind in "biuf":
        if target.kind == "f":
            return _to_float(array, target, datatype, given)
        if kind != "f" or (not given and not array.size):
            return _to_whole(array, target), ""
        raise InvalidInput(f"got {_kind(array)}; .astype('{target.name}') would cut off what follows the point")
    raise InvalidInput(f"got {_kind(array)}")


def _to_float(array: Array, target: np.dtype[Any], datatype: str, given: bool) -> tuple[Array, str]:
    if np.can_cast(array.dtype, target, "safe") and not (datatype == BF16 and array.dtype.itemsize > 1):
        return array.astype(target), ""
    with np.errstate(over="ignore"):
        result = array.astype(target)
    if bool((np.isinf(result) & np.isfinite(array)).any()):
        raise InvalidInput(f"got {array.dtype} with values beyond {np.finfo(target).max:.3g}")
    if array.dtype.kind == "f":
        note = f"the {array.dtype} array was cast; give .astype('{target.name}') to send it without this warning"
        return result, note if given else ""
    exact = 2 ** (8 if datatype == BF16 else np.finfo(target).nmant + 1)
    if array.size and (int(array.max()) > exact or int(array.min()) < -exact):
        return result, f"integers beyond ±{exact} were cast and may be off by a little"
    return result, ""


def _to_whole(array: Array, target: np.dtype[Any]) -> Array:
    low, high = (0, 1) if target.kind == "b" else (int(np.iinfo(target).min), int(np.iinfo(target).max))
    if array.size and (int(array.min()) < low or int(array.max()) > high):
        worst = int(array.min()) if int(array.min()) < low else int(array.max())
        raise InvalidInput(f"from {low} to {high}, got {worst}")
    return array.astype(target)


def _kind(array: Array) -> str:
    """What the array holds, in words."""
    if array.dtype.kind in "SUT":
        return "text"
    if array.dtype.kind == "O":
        numbers = (int, float)
        odd = next((e for e in array.ravel().tolist() if not isinstance(e, numbers)), 0)
        if isinstance(odd, numbers):
            return "an integer of more than 64 bits"
        return "text" if isinstance(odd, (str, bytes)) else f"a {type(odd).__name__} among its elements"
    return str(array.dtype)
