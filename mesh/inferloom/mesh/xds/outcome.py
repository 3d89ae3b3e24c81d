"""How a request ended, as the name of a gRPC code: told of what Envoy knows of it."""

from __future__ import annotations

import grpc

__all__ = ["outcome"]

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_OF_HTTP = {  # as Triton and hosts answer over REST, and Envoy for them
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def outcome(status: str, http: int, *, gone: bool) -> str:
    """The code that the caller got.

    Args:
        status: the answer's grpc-status, a number; "": it has none.
        http: its HTTP status; 0: there was no answer.
        gone: whether the caller went away.
    """
    if status:
        return _CODES.get(int(status), "UNKNOWN") if status.isdecimal() else "UNKNOWN"
    if gone or not http:
        return "CANCELLED"
    if http < 400:
        return "OK"
    return _OF_HTTP.get(http, "INTERNAL")
