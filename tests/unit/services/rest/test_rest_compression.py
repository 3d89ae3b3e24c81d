from __future__ import annotations

import gzip
import zlib

import pytest

from inferloom.services.rest.compression import chosen, compressed


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0", ""),
        ("identity, gzip;q=0.5", ""),
        ("br, zstd", ""),
        ("gzip;q=lots", ""),
        ("GZip", "gzip"),
    ],
)
def test_the_heaviest_encoding_is_taken(accepted: str, encoding: str) -> None:
    assert chosen(accepted) == encoding


@pytest.mark.parametrize("size", [0, 100, 200_000])
async def test_what_is_compressed_is_the_same_afterwards(size: int) -> None:
    data = b"tensor " * (size // 7)

    assert gzip.decompress(await compressed(data, "gzip")) == data
    assert zlib.decompress(await compressed(data, "deflate")) == data
