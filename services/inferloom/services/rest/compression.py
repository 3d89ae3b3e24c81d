"""Content encodings of answers: gzip and deflate, where the caller asks for one. Requests' are taken off by aiohttp."""

from __future__ import annotations

import asyncio
import zlib

__all__ = ["chosen", "compressed"]

LEVEL = 1  # tensors rarely shrink, and whoever is near enough for tensors waits for the processor rather than the wire
LARGE = 64 * 1024  # bytes; more is compressed in a thread
_WINDOWS = {"gzip": 31, "deflate": 15}  # zlib's, with a gzip or a zlib head


def chosen(accepted: str) -> str:
    """By the header Accept-Encoding; "" for neither. The heaviest weight wins, the first of several."""
    best, heaviest = "", 0.0
    for part in accepted.split(","):
        name, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        name = name.strip().lower()
        if weight > heaviest and name in ("identity", *_WINDOWS):
            best, heaviest = name, weight
    return "" if best == "identity" else best


async def compressed(data: bytes, encoding: str) -> bytes:
    return _compress(data, encoding) if len(data) <= LARGE else await asyncio.to_thread(_compress, data, encoding)


def _compress(data: bytes, encoding: str) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _WINDOWS[encoding])
    return packer.compress(data) + packer.flush()
