"""Errors as JSON: `{"error": {"code": "INVALID_ARGUMENT", "message": "png: is missing"}}`."""

from __future__ import annotations

import json
import math

from aiohttp import web
from grpc import StatusCode

from inferloom.mesh.errors import PUSHBACK_KEY, REASON_KEY, status_of

__all__ = ["HTTP_STATUS", "error_body", "error_response"]

HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNAUTHENTICATED: 401,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ABORTED: 409,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INTERNAL: 500,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DEADLINE_EXCEEDED: 504,
}
"""As google.rpc.Code has it."""


def error_body(code: StatusCode, message: str) -> str:
    return json.dumps({"error": {"code": code.name, "message": message}}, ensure_ascii=False)


def error_response(error: BaseException) -> web.Response:
    """The response for any exception; what is not one of ours says nothing of itself. A size exceeded is 413."""
    status = status_of(error)
    trailing = dict(status.trailing)
    number = 413 if trailing.get(REASON_KEY) == "size" else HTTP_STATUS.get(status.code, 500)
    headers = {}
    wait = str(trailing.get(PUSHBACK_KEY, ""))
    if wait.isdecimal():
        headers["Retry-After"] = str(math.ceil(int(wait) / 1000))
    body = error_body(status.code, status.message) + "\n"
    return web.Response(text=body, status=number, content_type="application/json", headers=headers)
