"""BYTES tensors: each element is its length (4 bytes, little-endian) and then its bytes, in row-major order.

That is how Triton lays them out in raw contents (its "binary tensor data" extension).
"""

from __future__ import annotations

import struct
from itertools import chain, repeat
from typing import Any

import numpy as np

from inferloom.mesh.errors import InvalidInput

__all__ = ["join", "split"]

_LENGTH = struct.Struct("<I")


def join(array: np.ndarray[Any, Any], tensor: str) -> bytes:
    """The elements of an array of str or bytes, one after the other; str becomes UTF-8.

    Raises:
        InvalidInput: an element is neither str nor bytes; names `tensor` and the element's type.
    """
    elements: list[Any] = array.ravel().tolist()
    try:
        parts = [e if type(e) is bytes else e.encode() for e in elements]
    except (AttributeError, UnicodeEncodeError):
        parts = [_one(element, tensor) for element in elements]
    lengths = np.fromiter(map(len, parts), "<u4", len(parts)).tobytes()
    heads = map(lengths.__getitem__, map(slice, range(0, len(lengths), 4), range(4, len(lengths) + 1, 4)))
    return b"".join(chain.from_iterable(zip(heads, parts, strict=True)))


def _one(element: Any, tensor: str) -> bytes:
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(f"tensor '{tensor}' holds text that is no Unicode: {error.reason}") from None
    if isinstance(element, (bytes, bytearray, memoryview)):
        return bytes(element)
    kind = type(element).__name__
    why = "its rows differ in length" if isinstance(element, (list, tuple)) else f"it holds a {kind}: {element!r:.40}"
    raise InvalidInput(f"tensor '{tensor}' is BYTES and takes text or bytes, but {why}")


def split(data: bytes | memoryview, count: int, tensor: str) -> np.ndarray[Any, Any]:
    """`count` elements as a flat object array of bytes.

    Raises:
        InvalidInput: the data holds more or fewer elements, or ends within one; names `tensor`.
    """
    found = _even(data, count)
    if found is None:
        found = _uneven(data, count, tensor)
    flat = np.empty(count, dtype=object)
    flat[:] = found
    return flat


def _even(data: bytes | memoryview, count: int) -> list[bytes] | None:
    """Elements of one common length are cut by numpy at once (None where they are not of one length)."""
    size = len(data) // count - _LENGTH.size if count else 0
    if size < 1 or len(data) != count * (size + _LENGTH.size):
        return None
    rows = np.frombuffer(data, np.dtype([("size", "<u4"), ("element", f"V{size}")]))
    return rows["element"].tolist() if bool((rows["size"] == size).all()) else None


def _uneven(data: bytes | memoryview, count: int, tensor: str) -> list[bytes]:
    found = []
    at, end, unpack = 0, len(data), _LENGTH.unpack_from
    view = bytes(data)
    for _ in repeat(None, count):
        if at + _LENGTH.size > end:
            break
        (size,) = unpack(view, at)
        at += _LENGTH.size + size
        if at > end:
            break
        found.append(view[at - size : at])
    if len(found) != count or at != end:
        raise InvalidInput(f"tensor '{tensor}' has {end} bytes, which are not {count} elements of BYTES")
    return found
