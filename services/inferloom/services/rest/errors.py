"""Errors under /v2: `{"error": "..."}`, as Triton has it."""

from __future__ import annotations

from aiohttp import web

from inferloom.mesh.errors import REASON_KEY, status_of
from inferloom.services.rest.response import json_bytes
from inferloom.services.typed.http_errors import HTTP_STATUS, error_headers

__all__ = ["error_json", "rest_error"]


def error_json(error: BaseException) -> bytes:
    return json_bytes({"error": status_of(error).message})


def rest_error(error: BaseException) -> web.Response:
    """The response for any exception; what is not one of ours says nothing of itself. A size exceeded is 413."""
    status = status_of(error)
    trailing = dict(status.trailing)
    number = 413 if trailing.get(REASON_KEY) == "size" else HTTP_STATUS.get(status.code, 500)
    return web.Response(
        body=error_json(error), status=number, content_type="application/json", headers=error_headers(status)
    )
