"""Small greyscale PNG files to pixels and back, with zlib alone (PNG is RFC 2083; the digits need no more of it).

pixels = decode(encode(pixels))     # FP32 [64], values 0 to 16
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDE = 8
BLACK = 16  # the darkest value of scikit-learn's digits; a PNG of them holds 15 times as much
STEP = 15


def encode(pixels: Array) -> bytes:
    """A PNG of 8 x 8 pixels with 8 bits each, from FP32 [64] with values 0 to 16."""
    rows = np.rint(pixels.reshape(SIDE, SIDE) * STEP).astype(np.uint8)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)  # filter 0: as they are
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def decode(png: bytes) -> Array:
    """FP32 [1, 64], values 0 to 16.

    Raises:
        ValueError: it is no PNG of 8 x 8 grey pixels; the message says what is different.
    """
    if not png.startswith(SIGNATURE):
        raise ValueError(f"png: no PNG file: it begins with {png[:8]!r}")
    chunks = dict.fromkeys((b"IHDR", b"IDAT"), b"")
    for kind, data in _chunks(png):
        if kind in chunks:
            chunks[kind] += data
    if len(chunks[b"IHDR"]) != 13:
        raise ValueError("png: no header")
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if (width, height, bits, colour, interlaced) != (SIDE, SIDE, 8, 0, 0):
        raise ValueError(
            f"png: {width} x {height} pixels of {bits} bits, colour type {colour}; wanted 8 x 8, 8 bits, grey"
        )
    try:
        lines = zlib.decompressobj().decompress(chunks[b"IDAT"], SIDE * (SIDE + 1))
    except zlib.error as error:
        raise ValueError(f"png: its pixels cannot be read: {error}") from None
    if len(lines) != SIDE * (SIDE + 1):
        raise ValueError(f"png: {len(lines)} bytes of pixels, wanted {SIDE * (SIDE + 1)}")
    return (_unfiltered(lines) / STEP).astype(np.float32).reshape(1, SIDE * SIDE)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 12 <= len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size
        if at > len(png) or struct.unpack_from(">I", png, at - 4)[0] != zlib.crc32(kind + data):
            raise ValueError(f"png: damaged in its part {kind.decode('latin-1')}")
        yield kind, data


def _unfiltered(lines: bytes) -> Array:
    """UINT8 [8, 8]: PNG stores differences to the pixel on the left, above, or both, as each line says."""
    above = [0] * SIDE
    rows = []
    for at in range(0, len(lines), SIDE + 1):
        how, row = lines[at], list(lines[at + 1 : at + 1 + SIDE])
        for x in range(SIDE):
            left, corner = (row[x - 1], above[x - 1]) if x else (0, 0)
            row[x] = (row[x] + _predicted(how, left, above[x], corner)) % 256
        rows.append(row)
        above = row
    return np.array(rows, np.uint8)


def _predicted(how: int, left: int, up: int, corner: int) -> int:
    match how:
        case 0:
            return 0
        case 1:
            return left
        case 2:
            return up
        case 3:
            return (left + up) // 2
        case 4:  # Paeth: whichever of the three is nearest to left + up - corner
            near = left + up - corner
            return min((left, up, corner), key=lambda value: abs(near - value))
    raise ValueError(f"png: a line with filter {how}; there are 0 to 4")
