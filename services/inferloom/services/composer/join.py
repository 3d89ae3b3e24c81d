"""Rows of several requests in one tensor, and out of it again, without making arrays.

Raw contents are row-major, so rows follow each other: a join is a concatenation, also of BYTES, whose elements carry their
own lengths. To cut, the size of a row is the same for all of them; BYTES are walked by their length prefixes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

from inferloom.clients.datatypes import BYTES
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor

__all__ = ["cut", "join", "repeat", "rows_of"]

_LENGTH = struct.Struct("<I").unpack_from


def rows_of(tensors: Iterable[Tensor]) -> int | None:
    """The number of rows all of them have; None where they differ, have none, or have no first dimension."""
    rows: int | None = None
    for tensor in tensors:
        if not tensor.shape or (rows is not None and tensor.shape[0] != rows):
            return None
        rows = tensor.shape[0]
    return rows or None


def join(tensors: Sequence[Tensor], rows: int) -> Tensor:
    """One tensor of `rows` rows: all of theirs, in order. They agree in datatype and in their other dimensions."""
    first = tensors[0]
    return Tensor(first.datatype, (rows, *first.shape[1:]), b"".join([tensor.raw for tensor in tensors]))


def repeat(tensor: Tensor, rows: int) -> Tensor:
    """A single row, so many times."""
    if rows == 1:
        return tensor
    return Tensor(tensor.datatype, (rows, *tensor.shape[1:]), bytes(tensor.raw) * rows)


def cut(tensor: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The tensor in pieces of so many rows each; the sizes add up to its rows.

    Raises:
        InvalidInput: it has another number of rows, or its contents do not fit its shape.
    """
    shape, raw = tensor.shape, tensor.raw
    total = sum(sizes)
    if not shape or shape[0] != total:
        raise InvalidInput(f"{total} rows went in and a tensor of shape {list(shape)} came out")
    rest = shape[1:]
    datatype = tensor.datatype
    pieces = []
    at = 0
    if datatype == BYTES:
        view = bytes(raw)
        elements = math.prod(rest)
        for size in sizes:
            end = _walk(view, at, size * elements)
            pieces.append(Tensor(BYTES, (size, *rest), view[at:end]))
            at = end
        if at != len(view):
            raise InvalidInput(f"{len(view) - at} bytes are left over behind the {total} rows of a BYTES tensor")
        return pieces
    width, left = divmod(len(raw), total)
    if left:
        raise InvalidInput(f"a {datatype} tensor of shape {list(shape)} came with {len(raw)} bytes")
    for size in sizes:
        end = at + size * width
        pieces.append(Tensor(datatype, (size, *rest), raw[at:end]))
        at = end
    return pieces


def _walk(data: bytes, at: int, count: int) -> int:
    """Where the element after `count` ones begins."""
    end = len(data)
    for _ in range(count):
        if at + 4 > end:
            raise InvalidInput("a BYTES tensor ends before its last element")
        at += 4 + _LENGTH(data, at)[0]
    if at > end:
        raise InvalidInput("a BYTES tensor ends within an element")
    return at
