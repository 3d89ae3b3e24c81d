"""POST .../generate and .../generate_stream over a backend that streams."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from aiohttp import web

from inferloom.mesh.errors import InferloomError, Unsupported
from inferloom.mesh.oip import METHODS, SERVICE, pb
from inferloom.mesh.oip_rest import Found
from inferloom.services.rest.asked import asked_of
from inferloom.services.rest.backend import Streaming
from inferloom.services.rest.errors import error_json
from inferloom.services.rest.generate import generate_request, generate_response
from inferloom.services.rest.response import json_bytes

__all__ = ["Generating"]

METADATA = METHODS[f"/{SERVICE}/ModelMetadata"]
EVENTS = "text/event-stream; charset=utf-8"


class Generating:
    """Asks for the model's metadata first: the JSON tells no datatypes."""

    def __init__(self, backend: Streaming) -> None:
        self._backend = backend

    async def handle(self, request: web.Request, found: Found) -> web.StreamResponse:
        asked = asked_of(request)
        question = pb.ModelMetadataRequest(name=found.model, version=found.version)
        metadata = await self._backend.inform(METADATA, question, asked)
        message = generate_request(await request.read(), metadata, found.model, found.version)
        async with aclosing(self._backend.stream(message, asked)) as answers:
            if found.method.name == "generate":
                return await _one(answers)
            return await _all(answers, request)


async def _one(answers: Any) -> web.Response:
    told = [generate_response(answer) async for answer in answers]
    if len(told) != 1:
        raise Unsupported(f"it answered {len(told)} times; use .../generate_stream")
    return web.Response(body=json_bytes(told[0]), content_type="application/json")


async def _all(answers: Any, request: web.Request) -> web.StreamResponse:
    """Server-sent events. An error before the first is an ordinary one; a later one is the last event."""
    first = await anext(answers, None)
    response = web.StreamResponse(headers={"Content-Type": EVENTS, "Cache-Control": "no-cache"})
    opening = _event(first) if first is not None else b""
    await response.prepare(request)
    try:
        await response.write(opening)
        async for answer in answers:
            await response.write(_event(answer))
    except InferloomError as error:
        await response.write(b"data: " + error_json(error) + b"\n\n")
    except ConnectionError:  # the caller went away
        return response
    await response.write_eof()
    return response


def _event(answer: Any) -> bytes:
    return b"data: " + json_bytes(generate_response(answer)) + b"\n\n"
