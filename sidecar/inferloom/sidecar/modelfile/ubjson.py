"""Universal Binary JSON (ubjson.org, draft 12), as XGBoost writes it: objects, arrays, typed arrays, numbers, strings."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["Malformed", "loads"]

_FIXED = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


class Malformed(ValueError):
    """These bytes are no UBJSON."""


def loads(data: bytes) -> Any:
    """The document. Arrays with one type for all items (`[$`) come back as their length: nobody here needs them."""
    try:
        value, _ = _value(data, 0)
    except (struct.error, IndexError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from None
    return value


def _value(data: bytes, at: int) -> tuple[Any, int]:
    marker, at = data[at : at + 1], at + 1
    if marker in _FIXED:
        form = _FIXED[marker]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], at
    if marker in (b"S", b"H"):
        return _string(data, at)
    if marker == b"C":
        return chr(data[at]), at + 1
    if marker == b"[":
        return _array(data, at)
    if marker == b"{":
        return _object(data, at)
    raise Malformed(f"marker {marker!r} at byte {at - 1}")


def _string(data: bytes, at: int) -> tuple[str, int]:
    size, at = _size(data, at)
    if at + size > len(data):
        raise Malformed(f"a string at byte {at} is longer than the file")
    return data[at : at + size].decode(), at + size


def _size(data: bytes, at: int) -> tuple[int, int]:
    size, at = _value(data, at)
    if not isinstance(size, int) or size < 0:
        raise Malformed(f"no length at byte {at}")
    return size, at


def _array(data: bytes, at: int) -> tuple[Any, int]:
    if data[at : at + 1] == b"$":
        marker = data[at + 1 : at + 2]
        if marker not in _FIXED or data[at + 2 : at + 3] != b"#":
            raise Malformed(f"typed array at byte {at}")
        count, at = _size(data, at + 3)
        at += count * struct.calcsize(_FIXED[marker])
        if at > len(data):
            raise Malformed("an array is longer than the file")
        return count, at
    items: list[Any] = []
    if data[at : at + 1] == b"#":
        count, at = _size(data, at + 1)
        for _ in range(count):
            item, at = _value(data, at)
            items.append(item)
        return items, at
    while data[at : at + 1] != b"]":
        item, at = _value(data, at)
        items.append(item)
    return items, at + 1


def _object(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    items: dict[str, Any] = {}
    while data[at : at + 1] != b"}":
        key, at = _string(data, at)
        items[key], at = _value(data, at)
    return items, at + 1
