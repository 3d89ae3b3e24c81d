"""A tensor's elements as JSON values, and back to raw contents.

As Triton has it: lists may be flat or nested in any way as long as the elements are as many as the shape says, BYTES are
strings, and FP16 and BF16 travel in binary only. NaN, Infinity and -Infinity are written bare, which JSON itself lacks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from inferloom.clients import strings
from inferloom.clients.datatypes import BF16, BYTES, numpy_type
from inferloom.clients.tensors import decode
from inferloom.mesh.errors import InvalidInput

__all__ = ["read_values", "write_values"]

_BINARY_ONLY = ("FP16", BF16)
_INTEGERS, _NUMBERS = frozenset({int}), frozenset({int, float})
_TAKES = {BYTES: frozenset({str}), "BOOL": frozenset({bool}), "FP32": _NUMBERS, "FP64": _NUMBERS}


def read_values(data: Any, datatype: str, shape: Sequence[int], place: str) -> bytes:
    """Raw contents, row-major and little-endian.

    Args:
        data: what stood in the JSON.
        place: of the tensor in the request, "inputs[0] 'x'", for messages.

    Raises:
        InvalidInput: the data does not fit datatype or shape; names the element.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidInput(f"{place}: {datatype} has no JSON; send it as binary data (parameter binary_data_size)")
    dtype = numpy_type(datatype, place)
    flat = _flat(data, place)
    if len(flat) != math.prod(shape):
        raise InvalidInput(f"{place}.data: {len(flat)} elements; shape {list(shape)} has {math.prod(shape)}")
    takes = _TAKES.get(datatype, _INTEGERS)
    if not takes.issuperset(map(type, flat)):
        at = next(i for i, each in enumerate(flat) if type(each) not in takes)
        raise InvalidInput(f"{place}.data[{at}]: takes {datatype}, got {_told(flat[at])}")
    if datatype == BYTES:
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
        return strings.join(array, place)
    if dtype.kind in "iu":
        return _integers(flat, dtype, datatype, place)
    try:
        with np.errstate(over="ignore"):  # what exceeds FP32 becomes infinite, as in any cast
            return np.array(flat, dtype).tobytes()
    except OverflowError:
        raise InvalidInput(f"{place}.data: an integer exceeds {datatype}") from None


def write_values(raw: bytes | memoryview, datatype: str, shape: Sequence[int], name: str) -> list[Any]:
    """The elements, in a flat list.

    Raises:
        InvalidInput: they have no JSON: FP16, BF16, or BYTES that are no UTF-8.
    """
    if datatype in _BINARY_ONLY:
        raise InvalidInput(_ask_binary(name, f"{datatype} has no JSON"))
    flat: list[Any] = decode(raw, datatype, shape, name).ravel().tolist()
    if datatype != BYTES:
        return flat
    try:
        return [element.decode() for element in flat]
    except UnicodeDecodeError:
        raise InvalidInput(_ask_binary(name, "its BYTES are no UTF-8 text")) from None


def _ask_binary(name: str, why: str) -> str:
    return f"output '{name}': {why}; ask for it with the parameter \"binary_data\": true"


def _flat(data: Any, place: str) -> list[Any]:
    if not isinstance(data, list):
        raise InvalidInput(f"{place}.data: takes a list, got {_told(data)}")
    while list in (kinds := set(map(type, data))):
        if len(kinds) > 1:
            at = next(i for i, each in enumerate(data) if type(each) is not list)
            raise InvalidInput(f"{place}.data: lists and values stand side by side, such as {_told(data[at])}")
        data = list(chain.from_iterable(data))
    flat: list[Any] = data
    return flat


def _integers(flat: list[Any], dtype: np.dtype[Any], datatype: str, place: str) -> bytes:
    bounds = np.iinfo(dtype)
    if flat and (min(flat) < bounds.min or max(flat) > bounds.max):
        at = next(i for i, each in enumerate(flat) if not bounds.min <= each <= bounds.max)
        raise InvalidInput(f"{place}.data[{at}]: {_told(flat[at])} is out of the range of {datatype}")
    return np.array(flat, dtype).tobytes()


def _told(value: Any) -> str:
    text = "an object" if isinstance(value, dict) else "null" if value is None else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
