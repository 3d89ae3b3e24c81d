"""The REST face of the Open Inference Protocol: HTTP requests to messages, and answers back.

It knows aiohttp and no more of what answers than `Backend` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web

from inferloom.mesh.errors import Exhausted, Forbidden, InferloomError, InvalidInput, ModelNotFound
from inferloom.mesh.oip import METHODS, SERVICE, Kind, pb
from inferloom.mesh.oip_rest import Found, find, refusal
from inferloom.services.rest.asked import asked_of
from inferloom.services.rest.backend import Answered, Backend
from inferloom.services.rest.compression import chosen, compressed
from inferloom.services.rest.errors import rest_error
from inferloom.services.rest.information import plain
from inferloom.services.rest.members import boolean, parsed
from inferloom.services.rest.raw import read_raw
from inferloom.services.rest.request import HEADER_LENGTH, header_length, read_request
from inferloom.services.rest.response import json_bytes, write_response
from inferloom.services.typed.http_headers import response_headers

__all__ = ["RestFace"]

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request, Found], Awaitable[web.StreamResponse]]
REQUEST_ID = "X-Request-Id"
METADATA = METHODS[f"/{SERVICE}/ModelMetadata"]


class RestFace:
    """Answers every path of the protocol.

    Args:
        max_body: bytes of one request, after its content encoding was taken off.
        generate: answers .../generate and .../generate_stream.
    """

    def __init__(self, backend: Backend, *, max_body: int, generate: Handler) -> None:
        self._backend = backend
        self._max_body = max_body
        self._handlers: dict[str, Handler] = {
            "live": self._live,
            "ready": self._ready,
            "server": self._server,
            "index": self._index,
            "statistics": self._statistics,
            "model statistics": self._statistics,
            "model": self._model,
            "model ready": self._model_ready,
            "config": self._config,
            "infer": self._infer,
            "generate": generate,
            "generate_stream": generate,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer to a request below /v2, errors too."""
        try:
            found = find(request.rel_url.raw_path)
            if found is None:
                raise web.HTTPNotFound
            verbs = found.method.verbs
            if request.method not in verbs and not (request.method == "HEAD" and "GET" in verbs):
                raise web.HTTPMethodNotAllowed(request.method, verbs)
            if found.method.kind is Kind.FORBIDDEN:
                assert found.method.twin is not None
                raise Forbidden(refusal(found.method.twin))
            return await self._handlers[found.method.name](request, found)
        except web.HTTPRequestEntityTooLarge:
            return rest_error(Exhausted(f"the body exceeds {self._max_body} bytes", reason="size"))
        except web.RequestPayloadError:
            encoding = request.headers.get("Content-Encoding", "none")
            return rest_error(
                InvalidInput(f"the body cannot be read; its Content-Encoding is said to be {encoding[:40]}")
            )
        except web.HTTPMethodNotAllowed as error:
            return _not_allowed(request, error)
        except web.HTTPNotFound:
            answer = rest_error(InvalidInput(f"{request.method} {request.path[:200]}: the protocol has no such path"))
            answer.set_status(404)
            return answer
        except InferloomError as error:
            return rest_error(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("request failed unexpectedly", path=request.path, exc_info=error)
            return rest_error(error)

    async def _live(self, request: web.Request, found: Found) -> web.Response:
        answer = await self._inform(request, found, pb.ServerLiveRequest())
        return _json({"live": answer.live}, 200 if answer.live else 400)

    async def _ready(self, request: web.Request, found: Found) -> web.Response:
        answer = await self._inform(request, found, pb.ServerReadyRequest())
        return _json({"ready": answer.ready}, 200 if answer.ready else 400)

    async def _server(self, request: web.Request, found: Found) -> web.Response:
        return _json(plain(await self._inform(request, found, pb.ServerMetadataRequest())))

    async def _index(self, request: web.Request, found: Found) -> web.Response:
        asked = parsed(await request.read())
        ready = boolean(asked.get("ready", False), "ready")
        answer = await self._inform(request, found, pb.RepositoryIndexRequest(ready=ready))
        return _json([{key: value for key, value in plain(row).items() if value} for row in answer.models])

    async def _statistics(self, request: web.Request, found: Found) -> web.Response:
        question = pb.ModelStatisticsRequest(name=found.model, version=found.version)
        return _json(plain(await self._inform(request, found, question)))

    async def _model(self, request: web.Request, found: Found) -> web.Response:
        question = pb.ModelMetadataRequest(name=found.model, version=found.version)
        told = plain(await self._inform(request, found, question))
        if not told.get("properties"):
            told.pop("properties", None)  # Triton's REST has none
        return _json(told)

    async def _model_ready(self, request: web.Request, found: Found) -> web.Response:
        answer = await self._inform(request, found, pb.ModelReadyRequest(name=found.model, version=found.version))
        if answer.ready:
            return _json({"name": found.model, "ready": True})  # as the protocol has it; Triton's is empty
        # Why not: whoever would answer says it. An unknown model is 404, one that is not ready 400, as Triton has it.
        try:
            question = pb.ModelMetadataRequest(name=found.model, version=found.version)
            await self._backend.inform(METADATA, question, asked_of(request))
            why: InferloomError = InvalidInput(f"model '{found.model}' is not ready")
        except ModelNotFound:
            raise
        except InferloomError as error:
            why = InvalidInput(str(error))
        return rest_error(why)

    async def _config(self, request: web.Request, found: Found) -> web.Response:
        question = pb.ModelConfigRequest(name=found.model, version=found.version)
        return _json(plain((await self._inform(request, found, question)).config))

    async def _inform(self, request: web.Request, found: Found, question: Any) -> Any:
        assert found.method.twin is not None
        return await self._backend.inform(found.method.twin, question, asked_of(request))

    async def _infer(self, request: web.Request, found: Found) -> web.Response:
        asked = asked_of(request)
        length = header_length(request.headers.get(HEADER_LENGTH))
        data = await request.read()
        if length == 0:
            question = pb.ModelMetadataRequest(name=found.model, version=found.version)
            metadata = await self._backend.inform(METADATA, question, asked)
            message, wanted = read_raw(data, metadata, found.model, found.version)
        else:
            message, wanted = read_request(data, length, found.model, found.version)
        answered: Answered = await self._backend.infer(message, asked)
        body = write_response(answered.message, wanted)
        headers = response_headers(request.headers.get(REQUEST_ID), answered.told) | {"Content-Type": body.content_type}
        if body.header_length is not None:
            headers[HEADER_LENGTH] = str(body.header_length)
        data, encoding = body.data, chosen(request.headers.get("Accept-Encoding", ""))
        if encoding:
            data = await compressed(data, encoding)
            headers["Content-Encoding"] = encoding
        return web.Response(body=data, headers=headers)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=json_bytes(value), status=status, content_type="application/json")


def _not_allowed(request: web.Request, error: web.HTTPMethodNotAllowed) -> web.Response:
    allowed = ", ".join(sorted(error.allowed_methods))
    answer = rest_error(InvalidInput(f"{request.method} {request.path[:200]}: takes {allowed}"))
    answer.set_status(405)
    answer.headers["Allow"] = allowed
    return answer
