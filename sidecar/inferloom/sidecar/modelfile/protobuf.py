"""Reading a protobuf message's fields by their tags, so that a file of gigabytes is described without being loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["Malformed", "fields", "integer", "text"]

Buffer = memoryview

VARINT: Final = 0
LENGTH: Final = 2


class Malformed(ValueError):
    """These bytes are no protobuf message."""


def fields(data: Buffer) -> Iterator[tuple[int, Buffer | int]]:
    """(field number, value) of a message, in order: an int for varints, a view for everything else."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise Malformed("field number 0")
        if wire == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == LENGTH:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Malformed(f"wire type {wire}")
        if position + size > len(data):
            raise Malformed("a field is longer than the message")
        yield number, data[position : position + size]
        position += size


def integer(value: Buffer | int) -> int:
    if not isinstance(value, int):
        raise Malformed("a number was expected")
    return value - (1 << 64) if value >= 1 << 63 else value


def text(value: Buffer | int) -> str:
    if isinstance(value, int):
        raise Malformed("a string was expected")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise Malformed("a string is not UTF-8") from None


def view(value: Buffer | int) -> Buffer:
    if isinstance(value, int):
        raise Malformed("a message was expected")
    return value


def _varint(data: Buffer, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise Malformed("a number does not end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
