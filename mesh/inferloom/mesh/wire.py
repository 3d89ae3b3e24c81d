"""Reading and amending protobuf messages without parsing them.

The model's name is found by walking the top-level tags of a message by their lengths, never into a tensor. As in
protobuf the last occurrence of a field wins: a proxy that took the first could be made to route by one name and have
another executed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

from inferloom.mesh.errors import InvalidInput

__all__ = ["Target", "find_target", "string_field", "with_string"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PARAMETERS = 4  # ModelInferRequest.parameters
_SEQUENCE_KEY = b"\x0a\x0bsequence_id"  # an entry of that map whose key is "sequence_id"
# ... and whose value is 0 or "": no sequence to Triton. Clients that send it with every request must not all stick.
_NO_SEQUENCE = frozenset(
    _SEQUENCE_KEY + value for value in (b"", b"\x12\x00", b"\x12\x02\x10\x00", b"\x12\x02\x1a\x00")
)
_LARGEST_TAG = 0xFFFFFFFF
MOST_FIELDS = 65_536  # in a request: 64 MiB of empty ones would hold the event loop for seconds


class Target(NamedTuple):
    """What a request asks for."""

    model: str
    version: str = ""
    sequence: bytes | None = None  # the map entry with Triton's sequence id, where the request belongs to a sequence


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


def find_target(data: bytes, name_field: int, version_field: int, *, infer: bool = False) -> Target:
    """The model and version a message names.

    Args:
        data: a serialised request.
        name_field, version_field: the numbers of its string fields for the model's name and version.
        infer: whether it is a ModelInferRequest, whose parameters may make it part of a sequence.

    Raises:
        InvalidInput: the bytes are no protobuf message, or a name in it is no UTF-8.
    """
    name = version = b""
    sequence: bytes | None = None
    at, end = 0, len(data)
    try:
        for _ in repeat(None, MOST_FIELDS + 1):
            if at >= end:
                break
            tag = data[at]
            at += 1
            if tag >= 0x80:
                tag, at = _varint(data, at - 1)
                if tag > _LARGEST_TAG:  # protobuf's C++ parser cuts it, and would read another field than we do
                    raise IndexError
            wire = tag & 7
            if wire == _BYTES:
                size = data[at]
                at += 1
                if size >= 0x80:
                    size, at = _varint(data, at - 1)
                field, stop = tag >> 3, at + size
                if stop > end:
                    raise IndexError
                if field == name_field:
                    name = data[at:stop]
                elif field == version_field:
                    version = data[at:stop]
                elif infer and field == _PARAMETERS and data.startswith(_SEQUENCE_KEY, at, stop):
                    sequence = data[at:stop]
                    if sequence in _NO_SEQUENCE:
                        sequence = None
                at = stop
            elif wire == _VARINT:
                _, at = _varint(data, at)
            elif wire == _FIXED64:
                at += 8
            elif wire == _FIXED32:
                at += 4
            else:
                raise IndexError
        else:
            raise InvalidInput(f"the request has more than {MOST_FIELDS} fields")
        if at != end:
            raise IndexError
        return Target(name.decode(), version.decode(), sequence)
    except (IndexError, UnicodeDecodeError):
        raise InvalidInput("the request is no message of the Open Inference Protocol: its bytes do not parse") from None


def string_field(data: bytes, path: tuple[int, ...]) -> bytes:
    """The last value of a length-delimited field, reached through nested messages; empty where it is absent.

    Raises:
        InvalidInput: the bytes are no protobuf message.
    """
    for number in path:
        data = _last(data, number)
    return data


def _last(data: bytes, number: int) -> bytes:
    found = b""
    at, end = 0, len(data)
    count = 0
    try:
        while at < end:
            count += 1
            if count > MOST_FIELDS:
                raise IndexError
            tag, at = _varint(data, at)
            if tag > _LARGEST_TAG:
                raise IndexError
            wire = tag & 7
            if wire == _BYTES:
                size, at = _varint(data, at)
                if at + size > end:
                    raise IndexError
                if tag >> 3 == number:
                    found = data[at : at + size]
                at += size
            elif wire == _VARINT:
                _, at = _varint(data, at)
            elif wire in (_FIXED64, _FIXED32):
                at += 8 if wire == _FIXED64 else 4
            else:
                raise IndexError
    except IndexError:
        raise InvalidInput("the bytes are no protobuf message") from None
    return found


def with_string(data: bytes, field: int, value: str) -> bytes:
    """The message with a string field set: appended, for the last occurrence wins."""
    return data + _string(field, value)


@lru_cache(maxsize=1024)
def _string(field: int, value: str) -> bytes:
    raw = value.encode()
    return _encode(field << 3 | _BYTES) + _encode(len(raw)) + raw


def _encode(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
