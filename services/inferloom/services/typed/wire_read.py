"""Large messages read without an object for each number.

A packed list of floats in protobuf is the raw contents of a tensor already. And the rows of a request mostly look alike:
the same fields, tags and lengths at the same places. So equal messages are seen as the rows of one matrix of bytes, of
which a field is a slice. What is not so regular is left to protobuf itself (None is returned), and so is everything that
is wrong: this only has to be right about what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inferloom.services.typed.wire_plan import FIXED32, FIXED64, LENGTH, VARINT, Plan, PlanField
from inferloom.services.typed.wire_varints import unpack

__all__ = ["Table", "read_alike", "read_each"]

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Table:
    """`count` messages of one kind."""

    count: int
    leaves: dict[str, Array] = field(default_factory=dict)  # [count, elements]; of text: objects (bytes)
    tables: dict[str, Table] = field(default_factory=dict)  # of the messages within, `count` times as many each


def read_alike(matrix: Array, plan: Plan) -> Table | None:
    """Messages that are laid out alike.

    Args:
        matrix: uint8 [count, bytes], a message in each row.
    """
    try:
        return _read(matrix, plan)
    except (IndexError, _OddError):
        return None


def read_each(payload: bytes, number: int, plan: Plan, least: int) -> Table | None:
    """Large messages in the one field of another, which are not laid out alike: one after the other.

    Args:
        number: of the field.
        plan: of the messages in it.
        least: bytes that they must have on average, for this to be worth it.
    """
    whole = np.frombuffer(payload, np.uint8)
    tables: list[Table] = []
    at = 0
    try:
        while at < len(whole):
            tag, at = _varint(whole, at)
            size, at = _varint(whole, at)
            if tag != number << 3 | LENGTH or size > len(whole) - at or at < least * len(tables):
                return None
            tables.append(_read(whole[at : at + size].reshape(1, -1), plan))
            at += size
        return _joined(tables) if tables else None
    except (IndexError, _OddError):
        return None


def _joined(tables: list[Table]) -> Table:
    """The messages of all of them; they must have the same fields and as many elements in each."""
    first = tables[0]
    found = Table(sum(table.count for table in tables))
    for name, leaf in first.leaves.items():
        columns = [table.leaves.get(name) for table in tables]
        same = [column for column in columns if column is not None and column.shape[1] == leaf.shape[1]]
        if len(same) < len(tables):
            raise _OddError
        found.leaves[name] = np.concatenate(same)
    for name in first.tables:
        inner = [table.tables[name] for table in tables if name in table.tables]
        if len(inner) < len(tables) or len({each.count for each in inner}) > 1:
            raise _OddError
        found.tables[name] = _joined(inner)
    if any(len(table.leaves) + len(table.tables) != len(first.leaves) + len(first.tables) for table in tables):
        raise _OddError
    return found


class _OddError(Exception):
    """It is not as regular as this reader wants it."""


def _read(matrix: Array, plan: Plan) -> Table:
    count, width = matrix.shape
    found = Table(count)
    if not count:
        return found
    first = matrix[0]
    at = 0
    while at < width:
        begin = at
        tag, at = _varint(first, at)
        known = plan.numbers.get(tag >> 3)
        wire = tag & 7
        if known is None or known.name in found.leaves or known.name in found.tables:
            raise _OddError
        if wire == LENGTH:
            size, at = _varint(first, at)
            if size > width - at:
                raise _OddError
            if known.inner is not None and known.repeated:
                at = _messages(matrix, begin, at - begin, size, known, found)
                continue
            _same(matrix, begin, at)
            _delimited(matrix[:, at : at + size], known, found)
            at += size
            continue
        _same(matrix, begin, at)
        if wire != known.wire or known.repeated:
            raise _OddError
        if wire == VARINT:
            end = at + 1
            while first[end - 1] >= 0x80:
                end += 1
            found.leaves[known.name] = _numbers(matrix[:, at:end], known, 1)
            at = end
        elif wire in (FIXED32, FIXED64):
            end = at + (4 if wire == FIXED32 else 8)
            if end > width:
                raise _OddError
            found.leaves[known.name] = _fixed(matrix[:, at:end], known)
            at = end
        else:
            raise _OddError
    return found


def _delimited(data: Array, known: PlanField, found: Table) -> None:
    if known.inner is not None:
        found.tables[known.name] = _read(np.ascontiguousarray(data), known.inner)
    elif known.wire == VARINT and known.repeated:
        found.leaves[known.name] = _numbers(data, known, None)
    elif known.dtype is not None and known.repeated:
        found.leaves[known.name] = _fixed(data, known)
    elif known.wire == LENGTH and not known.repeated and len(data) == 1:
        text = np.empty((1, 1), dtype=object)
        text[0, 0] = data.tobytes()
        found.leaves[known.name] = text
    else:
        raise _OddError


def _messages(matrix: Array, begin: int, head: int, size: int, known: PlanField, found: Table) -> int:
    """Repeated messages of one size; returns where they end."""
    assert known.inner is not None
    step = head + size
    most = (matrix.shape[1] - begin) // step
    blocks = matrix[:, begin : begin + most * step].reshape(len(matrix), most, step)
    alike = (blocks[0, :, :head] == blocks[0, 0, :head]).all(axis=1)
    number = most if bool(alike.all()) else int(np.argmin(alike))
    blocks = blocks[:, :number]
    if not bool((blocks[:, :, :head] == blocks[0, 0, :head]).all()):
        raise _OddError
    inner = np.ascontiguousarray(blocks[:, :, head:]).reshape(len(matrix) * number, size)
    found.tables[known.name] = _read(inner, known.inner)
    return begin + number * step


def _same(matrix: Array, begin: int, end: int) -> None:
    """Tag and length must be the same in every message."""
    if len(matrix) > 1 and not bool((matrix[:, begin:end] == matrix[0, begin:end]).all()):
        raise _OddError


def _fixed(data: Array, known: PlanField) -> Array:
    if known.dtype is None or data.shape[1] % known.dtype.itemsize:
        raise _OddError
    return np.ascontiguousarray(data).view(known.dtype)


def _numbers(data: Array, known: PlanField, wanted: int | None) -> Array:
    """Varints of every row, as many in each: `wanted`, or any number."""
    if data.shape[1] == 0 or bool((data[:, -1] >= 0x80).any()):
        raise _OddError
    counts = (data < 0x80).sum(axis=1)
    number = int(counts[0])
    if not bool((counts == number).all()) or wanted not in (None, number):
        raise _OddError
    flat = unpack(np.ascontiguousarray(data).reshape(-1))
    if flat is None:
        raise _OddError
    return (flat.view(np.int64) if known.signed else flat).reshape(len(data), number)


def _varint(data: Array, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = int(data[at])
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 28:
            raise _OddError
