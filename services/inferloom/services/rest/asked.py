"""What travels with a REST request to whoever answers it."""

from __future__ import annotations

from aiohttp import web

from inferloom.services.rest.backend import Asked
from inferloom.services.rest.request import HEADER_LENGTH
from inferloom.services.typed.http_headers import metadata_of, timeout_of

__all__ = ["asked_of"]

_OURS = HEADER_LENGTH.lower()


def asked_of(request: web.Request) -> Asked:
    """Metadata and time-out. Raises InvalidInput: a header that gRPC cannot carry, or that is no time-out."""
    metadata = tuple(pair for pair in metadata_of(request.headers) if pair[0] != _OURS)
    return Asked(metadata, timeout_of(request.headers))
