"""Errors as JSON: google.rpc.Status, `{"code": 3, "message": "png: is missing", "details": [...]}`.

A fault of the request's fields has a google.rpc.BadRequest among its details, whoever found it: what a replica sent in
`grpc-status-details-bin` is read here.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import google.rpc.error_details_pb2  # noqa: F401  # makes its messages known to the pool
from aiohttp import web
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status as RpcStatus
from grpc import StatusCode

from inferloom.mesh.errors import DETAILS_KEY, PUSHBACK_KEY, REASON_KEY, Status, status_of

__all__ = ["HTTP_STATUS", "error_body", "error_headers", "error_response"]

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


def error_body(status: Status) -> str:
    """google.rpc.Status as JSON, in one line."""
    code: int = status.code.value[0]
    told = {"code": code, "message": status.message, "details": _details(dict(status.trailing).get(DETAILS_KEY))}
    return json.dumps(told, ensure_ascii=False)


def _details(packed: str | bytes | None) -> list[dict[str, Any]]:
    if not isinstance(packed, bytes):
        return []
    try:
        return [_unpacked(detail) for detail in RpcStatus.FromString(packed).details]
    except DecodeError:
        return []  # a replica may send what it likes; code and message are there all the same


def _unpacked(detail: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = MessageToDict(detail)
        return found
    except (TypeError, DecodeError):  # a message that is not known here
        return {"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()}


def error_response(error: BaseException) -> web.Response:
    """The response for any exception; what is not one of ours says nothing of itself. A size exceeded is 413."""
    status = status_of(error)
    trailing = dict(status.trailing)
    number = 413 if trailing.get(REASON_KEY) == "size" else HTTP_STATUS.get(status.code, 500)
    body = error_body(status) + "\n"
    return web.Response(text=body, status=number, content_type="application/json", headers=error_headers(status))


def error_headers(status: Status) -> dict[str, str]:
    """What travels beside an error: why it was refused, its request's id, its explanation, and when to try again."""
    trailing = [(key, value) for key, value in status.trailing if isinstance(value, str)]
    headers = {key: value for key, value in trailing if key.startswith("x-inferloom-") and value.isprintable()}
    wait = dict(trailing).get(PUSHBACK_KEY, "")
    if wait.isdecimal():
        headers["Retry-After"] = str(math.ceil(int(wait) / 1000))
    return headers
