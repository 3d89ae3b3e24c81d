"""Varints of protobuf by the thousand: packed lists of integers to numpy and back, without a loop over elements."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["pack", "unpack", "varint"]

Array = np.ndarray[Any, Any]
LONGEST = 10  # bytes of one


def varint(value: int) -> bytes:
    """One, of a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unpack(data: Array) -> Array | None:
    """The numbers, as uint64, in bytes (uint8) that hold nothing but varints; None where they do not."""
    if not data.size:
        return np.empty(0, np.uint64)
    if int(data.max()) < 0x80:
        return data.astype(np.uint64)
    if int(data[-1]) >= 0x80:
        return None
    ends = np.flatnonzero(data < 0x80)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > LONGEST:
        return None
    found = np.zeros(len(ends), np.uint64)
    for at in range(longest):
        has = np.flatnonzero(lengths > at) if at else slice(None)
        found[has] |= (data[starts[has] + at] & np.uint8(0x7F)).astype(np.uint64) << np.uint64(7 * at)
    return found


def pack(values: Array) -> Array:
    """The bytes (uint8) of integers, one after the other; negative ones take ten, as in protobuf."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    bits = values.astype(np.int64).view(np.uint64) if values.dtype.kind == "i" else values.astype(np.uint64)
    if not bits.size or int(bits.max()) < 0x80:
        return bits.astype(np.uint8)
    lengths = np.ones(len(bits), np.int64)
    for at in range(1, LONGEST):
        lengths += bits >= np.uint64(1 << (7 * at))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    out = np.empty(int(ends[-1]), np.uint8)
    for at in range(int(lengths.max())):
        has = np.flatnonzero(lengths > at)
        part = (bits[has] >> np.uint64(7 * at)).astype(np.uint8) & np.uint8(0x7F)
        out[starts[has] + at] = np.where(lengths[has] > at + 1, part | np.uint8(0x80), part)
    return out
