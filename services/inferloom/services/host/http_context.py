"""What of an HTTP request's headers travels on with the calls made for it: its deadline and its metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from inferloom.mesh.call import Metadata
from inferloom.mesh.policy import TrafficPolicy
from inferloom.services.context import CallContext

__all__ = ["context_of", "timeout_of"]

POLICY = TrafficPolicy()
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OWN = HOP_BY_HOP | {"authorization", "cookie", "host", "origin", "referer", "user-agent", "expect", "via"}
_OWN_PREFIXES = ("accept", "content-", "grpc-", "if-", "sec-", "x-forwarded-", "access-control-")
_KEY = re.compile(r"[0-9a-z_.-]+")
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
TIMEOUT = "x-inferloom-timeout"


def timeout_of(headers: dict[str, str]) -> float:
    """Seconds: `X-Inferloom-Timeout` (0.25), else `grpc-timeout` (250m), else 30; at most 600.

    What is no number of seconds above 0 counts as not there.
    """
    text = headers.get(TIMEOUT, "").removesuffix("s")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
        if match := _GRPC_TIMEOUT.fullmatch(headers.get("grpc-timeout", "")):
            seconds = int(match[1]) * _UNITS[match[2]]
    if not (seconds > 0 and math.isfinite(seconds)):
        return POLICY.timeout
    return min(seconds, POLICY.longest)


def context_of(raw: Iterable[tuple[bytes, bytes]], now: float) -> CallContext:
    """The context of a request with these headers (names in lower case), which came at `now`.

    Left out: what concerns the connection, the browser, the body, and whatever says who the caller is.
    """
    headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in raw}
    metadata: Metadata = tuple(
        (key, value)
        for key, value in headers.items()
        if key not in _OWN
        and key != TIMEOUT
        and not key.startswith(_OWN_PREFIXES)
        and not key.endswith("-bin")
        and _KEY.fullmatch(key)
        and value.isascii()
        and value.isprintable()
    )
    return CallContext(now + timeout_of(headers), metadata)
