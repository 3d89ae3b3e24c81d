"""Arrays as JSON has them: nested lists, row by row.

Not a number and the infinities are the strings "NaN", "Infinity" and "-Infinity", which JSON has no numbers for. An
element of BYTES is text where it is UTF-8, else {"base64": "..."}, so that nobody has to guess which of the two it is.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from inferloom.clients.casts import cast
from inferloom.clients.datatypes import BYTES, NUMPY
from inferloom.mesh.errors import InvalidInput

__all__ = ["BASE64", "CONSTANTS", "Misfit", "from_lists", "lists_schema", "to_lists"]

Array = np.ndarray[Any, Any]
CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
BASE64 = "base64"
MOST_DIMENSIONS = 32  # numpy itself ends at 64


class Misfit(ValueError):
    """What does not fit, and where: `path` is "[2][0]", empty for the whole."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}" if path else what)
        self.path = path
        self.what = what


def from_lists(value: Any, datatype: str, shape: tuple[int, ...]) -> Array:
    """An array of nested lists.

    Args:
        datatype: of the Open Inference Protocol.
        shape: that it shall have, -1 for any size; empty: any shape.

    Raises:
        Misfit: another shape, or an element that is no such value; names the first place.
    """
    target = NUMPY[datatype]
    if datatype != BYTES and isinstance(value, list):
        try:
            array = np.asarray(value)
            if array.dtype.kind in "biuf" and fits(array.shape, shape):
                return cast(array, datatype, given=False)[0]
        except (ValueError, OverflowError, InvalidInput):
            pass  # the slow way finds the place
    flat: list[Any] = []
    found = _walk(value, datatype, shape, "", 0, flat)
    array = np.empty(len(flat), dtype=target)
    array[:] = flat
    return array.reshape(found)


def fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if not wanted:
        return True
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))


def _walk(value: Any, datatype: str, shape: tuple[int, ...], path: str, depth: int, flat: list[Any]) -> tuple[int, ...]:
    """The shape of what is here; its elements are added to `flat`."""
    deep = isinstance(value, list)
    if shape and deep != (depth < len(shape)):
        rest = len(shape) - depth
        what = f"a list of {_dimensions(rest)}" if rest else f"{_one(datatype)}, not a list"
        raise Misfit(path, f"takes {what}, got {_short(value)}" if rest else f"takes {what}")
    if not deep:
        flat.append(_element(value, datatype, path))
        return ()
    if depth >= MOST_DIMENSIONS:
        raise Misfit(path, f"is nested deeper than {MOST_DIMENSIONS} lists")
    if shape and shape[depth] not in (-1, len(value)):
        raise Misfit(path, f"takes {shape[depth]} elements, got {len(value)}")
    inner: tuple[int, ...] | None = None
    for index, item in enumerate(value):
        found = _walk(item, datatype, shape, f"{path}[{index}]", depth + 1, flat)
        if inner is None:
            inner = found
        elif found != inner:
            raise Misfit(f"{path}[{index}]", "differs in length from the lists before it")
    if inner is None:  # an empty list has no inner sizes of its own: those told, else none
        inner = tuple(max(size, 0) for size in shape[depth + 1 :])
    return (len(value), *inner)


def _element(value: Any, datatype: str, path: str) -> Any:
    if datatype == BYTES:
        return _bytes(value, path)
    target = NUMPY[datatype]
    if target.kind == "f" and isinstance(value, str) and value in CONSTANTS:
        return CONSTANTS[value]
    if isinstance(value, (bool, int, float)):
        try:
            return cast(np.asarray(value), datatype, given=False)[0][()]
        except InvalidInput:
            raise Misfit(path, f"takes {_range(datatype)}, got {_short(value)}") from None
    raise Misfit(path, f"takes {_one(datatype)}, got {_short(value)}")


def _bytes(value: Any, path: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {BASE64} and isinstance(value[BASE64], str):
        try:
            return base64.b64decode(value[BASE64], validate=True)
        except (binascii.Error, ValueError):
            raise Misfit(f"{path}.{BASE64}", "is no base64") from None
    raise Misfit(path, f'takes text, or {{"base64": "..."}} for other bytes, got {_short(value)}')


def to_lists(array: Array) -> Any:
    """Nested lists of Python's own values; a scalar where the array has no dimension."""
    if array.dtype.kind == "O":
        flat = [_text(item) for item in array.ravel().tolist()]
        return _nest(flat, array.shape)
    return array.tolist()


def _text(item: Any) -> Any:
    if isinstance(item, str):
        return item
    data = bytes(item)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {BASE64: base64.b64encode(data).decode()}


def _nest(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    if len(shape) == 1:
        return flat
    size = len(flat) // shape[0] if shape[0] else 0
    return [_nest(flat[at * size : (at + 1) * size], shape[1:]) for at in range(shape[0])]


def lists_schema(datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """JSON Schema of such lists."""
    kind = NUMPY[datatype].kind
    item: dict[str, Any] = {"type": {"b": "boolean", "i": "integer", "u": "integer"}.get(kind, "number")}
    if datatype == BYTES:
        other = {"type": "object", "properties": {BASE64: {"type": "string", "contentEncoding": BASE64}}}
        item = {"anyOf": [{"type": "string"}, other | {"required": [BASE64], "additionalProperties": False}]}
    elif kind in "iu":
        limits = np.iinfo(NUMPY[datatype])
        item |= {"minimum": int(limits.min), "maximum": int(limits.max)}
    elif kind == "f":
        item = {"anyOf": [item, {"enum": list(CONSTANTS)}]}
    if not shape:
        what = f"one {_one(datatype).removeprefix('a ')}, or lists of them nested to any depth"
        return {"description": what, "examples": [{"b": [False], "f": [0.0], "O": ["hello"]}.get(kind, [0])]}
    for size in reversed(shape):
        item = {"type": "array", "items": item} | ({} if size == -1 else {"minItems": size, "maxItems": size})
    return item


def _dimensions(count: int) -> str:
    return "one dimension" if count == 1 else f"{count} dimensions"


def _one(datatype: str) -> str:
    return {"b": "true or false", "f": "a number", "O": "text"}.get(NUMPY[datatype].kind, "a whole number")


def _range(datatype: str) -> str:
    target = NUMPY[datatype]
    if target.kind == "f":
        return f"a number within {datatype}"
    if target.kind == "b":
        return "true or false"
    return f"a whole number from {np.iinfo(target).min} to {np.iinfo(target).max}"


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = repr(value) if value is not None else "null"
    return text if len(text) <= 40 else text[:37] + "..."
