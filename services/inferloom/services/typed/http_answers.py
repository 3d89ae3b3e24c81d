"""A stream's answers over HTTP: server-sent events, or one line of JSON each."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import web

from inferloom.mesh.call import Call
from inferloom.mesh.errors import InferloomError, status_of
from inferloom.mesh.router.router import Router
from inferloom.services.typed.http_errors import error_body
from inferloom.services.typed.http_headers import TIMEOUT, response_headers
from inferloom.services.typed.http_stream import answers
from inferloom.v1 import typed_pb2

__all__ = ["EVENTS", "LINES", "form_of", "json_answers", "pass_on", "unhurried"]

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"


def form_of(request: web.Request) -> str:
    """How the caller wants a stream's answers written."""
    return EVENTS if EVENTS in request.headers.get("Accept", "") else LINES


def unhurried(call: Call, request: web.Request) -> Call:
    """Like any stream, without a deadline unless the caller sets one."""
    timed = TIMEOUT in request.headers or "grpc-timeout" in request.headers
    return call if timed else call._replace(deadline=float("inf"))


async def json_answers(router: Router, call: Call) -> AsyncGenerator[bytes, None]:
    """The JSON of a service's or pipeline's answers. Raises as `answers`."""
    stream = answers(router, call)
    try:
        async for message in stream:
            yield typed_pb2.TypedResponse.FromString(message).json
    finally:
        await stream.aclose()


async def pass_on(request: web.Request, stream: AsyncGenerator[bytes, None], form: str) -> web.StreamResponse:
    """Write answers as they come.

    Args:
        stream: of JSON; closed in the end.
        form: EVENTS or LINES.

    An error before the first answer is an ordinary one. After it the status is gone: an SSE event named `error` with
    a google.rpc.Status, or a line {"error": ...} around one, ends the stream.
    """
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
            body = error_body(status_of(error)).encode()
            await response.write(
                b"event: error\ndata: " + body + b"\n\n" if form == EVENTS else b'{"error": ' + body + b"}\n"
            )
        await response.write_eof()
        return response
    finally:
        await stream.aclose()


def _framed(message: bytes, form: str) -> bytes:
    lines = message.splitlines()
    if form == EVENTS:
        return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"
    return b" ".join(lines) + b"\n"
