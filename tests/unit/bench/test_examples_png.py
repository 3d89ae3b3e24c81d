"""The PNG reader of examples/digits: all five kinds of lines, and what it refuses."""

import importlib.util
import struct
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FILE = Path(__file__).parents[3] / "examples" / "digits" / "png.py"


@pytest.fixture(scope="module")
def png() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_png", FILE)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_what_is_written_is_read_again(png: ModuleType, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 17, 64).astype(np.float32)
    assert (png.decode(png.encode(pixels)) == pixels).all()


@pytest.mark.parametrize("how", range(5))
def test_each_kind_of_line_gives_the_same_pixels(png: ModuleType, how: int) -> None:
    pixels = (np.random.default_rng(how).integers(0, 17, (8, 8)) * 15).astype(np.uint8)
    assert (png.decode(filtered(png, pixels, how)) * 15 == pixels.reshape(1, -1)).all()


def test_other_bytes_sizes_and_damage_are_refused_by_what_is_wrong(png: ModuleType) -> None:
    whole = png.encode(np.zeros(64, np.float32))
    for data, message in (
        (b"GIF89a", "no PNG file"),
        (whole[:8], "no header"),
        (whole[:20] + b"\1" + whole[21:], "damaged in its part IHDR"),
        (filtered(png, np.zeros((8, 8), np.uint8), 9), "filter 9"),
    ):
        with pytest.raises(ValueError, match=message):
            png.decode(data)


def filtered(png: ModuleType, pixels: np.ndarray, how: int) -> bytes:
    """A PNG whose lines are all stored as `how` says (RFC 2083, section 6)."""
    wide = np.zeros((9, 9), int)
    wide[1:, 1:] = pixels
    lines = b""
    for y in range(1, 9):
        line = []
        for x in range(1, 9):
            left, up, corner = wide[y, x - 1], wide[y - 1, x], wide[y - 1, x - 1]
            near = left + up - corner
            paeth = min((left, up, corner), key=lambda value: abs(near - value))
            predicted = (0, left, up, (left + up) // 2, paeth, *[0] * 5)[how]
            line.append(int(wide[y, x] - predicted) % 256)
        lines += bytes([how, *line])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return bytes(png.SIGNATURE) + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
