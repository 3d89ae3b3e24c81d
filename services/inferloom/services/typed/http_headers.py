"""From HTTP headers to what travels with a call, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from multidict import CIMultiDictProxy

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.router.metadata import forwarded

__all__ = ["TIMEOUT", "metadata_of", "response_headers", "timeout_of"]

TIMEOUT = "X-Inferloom-Timeout"
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
_KEY = re.compile(r"[a-z0-9_.-]+", re.ASCII)
_STANDARD = frozenset(
    """
    accept cache-control connection cookie date dnt expect forwarded from host if-match if-modified-since if-none-match
    if-range if-unmodified-since keep-alive max-forwards origin pragma priority range referer trailer transfer-encoding
    upgrade upgrade-insecure-requests via x-inferloom-timeout
    """.split()  # noqa: SIM905
)  # of the browser, of this hop, or read here
_FAMILIES = ("accept-", "content-", "sec-", "proxy-", "access-control-")


def metadata_of(headers: CIMultiDictProxy[str]) -> Metadata:
    """The trace context, the request id and every header that is no standard one of HTTP.

    Raises:
        InvalidInput: a value that gRPC cannot carry; names the header.
    """
    found = []
    for name, value in headers.items():
        key = name.lower()
        if key in _STANDARD or key.startswith(_FAMILIES) or key.endswith("-bin") or not _KEY.fullmatch(key):
            continue
        if not (value.isascii() and value.isprintable()):
            raise InvalidInput(f"header '{name}': takes printable ASCII")
        found.append((key, value))
    return forwarded(found)


def timeout_of(headers: Mapping[str, str]) -> float | None:
    """Seconds the caller gives: `X-Inferloom-Timeout: 0.5`, else gRPC's `grpc-timeout: 500m`; None where it gives none.

    Raises:
        InvalidInput: it is no number of seconds above 0.
    """
    text = headers.get(TIMEOUT)
    if text is not None:
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not (seconds > 0 and math.isfinite(seconds)):
            raise InvalidInput(f"header '{TIMEOUT}': takes seconds above 0, such as 0.5, got {text[:40]!r}")
        return seconds
    text = headers.get("grpc-timeout")
    if text is None:
        return None
    match = _GRPC_TIMEOUT.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise InvalidInput(f"header 'grpc-timeout': takes a number and a unit, such as 500m or 2S, got {text[:40]!r}")
    return int(match[1]) * _UNITS[match[2]]


def response_headers(request_id: str | None, *told: Metadata) -> dict[str, str]:
    """What the replica told in metadata named x-..., and the caller's own request id."""
    headers = {key: value for pairs in told for key, value in pairs if key.startswith("x-") and isinstance(value, str)}
    return headers | ({"X-Request-Id": request_id} if request_id else {})
