"""A stream's answers over HTTP: server-sent events, or one line of JSON each."""

from __future__ import annotations

from aiohttp import web

from inferloom.mesh.call import Call
from inferloom.mesh.errors import InferloomError, status_of
from inferloom.mesh.router.router import Router
from inferloom.services.typed.http_errors import error_body
from inferloom.services.typed.http_headers import TIMEOUT, response_headers
from inferloom.services.typed.http_stream import answers
from inferloom.v1 import typed_pb2

__all__ = ["EVENTS", "LINES", "pass_on"]

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


async def pass_on(router: Router, call: Call, request: web.Request, form: str) -> web.StreamResponse:
    """Write the answers as they come.

    An error before the first answer is an ordinary one. After it the status is gone: an SSE event named `error`, or a
    line {"error": ...}, ends the stream.
    """
    if TIMEOUT not in request.headers and "grpc-timeout" not in request.headers:
        call = call._replace(deadline=float("inf"))  # like any stream: without a deadline unless the caller sets one
    stream = answers(router, call)
    try:
        first = await anext(stream, None)
        headers = response_headers(request.headers.get("X-Request-Id")) | {
            "Content-Type": form,
            "Cache-Control": "no-cache",
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            if first is not None:
                await response.write(_framed(first, form))
            async for answer in stream:
                await response.write(_framed(answer, form))
        except InferloomError as error:
            status = status_of(error)
            body = error_body(status.code, status.message).encode()
            await response.write(b"event: error\ndata: " + body + b"\n\n" if form == EVENTS else body + b"\n")
        await response.write_eof()
        return response
    finally:
        await stream.aclose()


def _framed(message: bytes, form: str) -> bytes:
    lines = typed_pb2.TypedResponse.FromString(message).json.splitlines()
    if form == EVENTS:
        return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    return b" ".join(lines) + b"\n"
