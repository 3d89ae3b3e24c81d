"""JSON over HTTP for everything in the catalog: POST and GET /v1/NAME[:METHOD], GET /openapi.json, GET /docs.

Bodies for services and pipelines pass as they came: whoever runs one knows its types, so JSON is read and written there.
A Triton knows tensors only, so JSON for models is read here. Both go behind the same router, replicas and retries as any
call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from aiohttp import web
from grpc import StatusCode

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.catalog import Kind
from inferloom.mesh.errors import Exhausted, InferloomError, InvalidInput, ModelNotFound
from inferloom.mesh.listen import Address, check_free
from inferloom.mesh.oip import CALL
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL, UNKNOWN_VERSION
from inferloom.services.rest.router_face import RouterRest
from inferloom.services.traced_http import http_spans
from inferloom.services.typed import page
from inferloom.services.typed.faces import Faces
from inferloom.services.typed.http_answers import form_of, json_answers, pass_on, unhurried
from inferloom.services.typed.http_errors import error_response
from inferloom.services.typed.http_guard import Guard
from inferloom.services.typed.http_headers import metadata_of, response_headers, timeout_of
from inferloom.services.typed.http_models import answer_model, read_model, stream_model
from inferloom.services.typed.openapi import document
from inferloom.services.typed.operations import operations
from inferloom.services.typed.telling import telling
from inferloom.v1 import typed_pb2

__all__ = ["HttpFace", "Mount"]

log = structlog.get_logger(__name__)

MIB = 1024 * 1024
ANY = "*"
DEFAULT_METHODS = ("predict", "__call__")
Mount = Callable[[web.Request, str, str], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpFace:
    """Serves one router's models, services and pipelines.

    Args:
        router: started and closed by whoever made it.
        mounts: handlers `(request, name, tail)` of /NAME/tail, by the service's name; "*": every service with an HTTP port.
        max_body: bytes of one request; more is answered with 413.
        origins: of pages that may call besides its own, "https://app.example".
        tokens: every request needs one of them, `Authorization: Bearer TOKEN`; empty: none is needed.
        faces: of the same router, started and closed by whoever made them; None: its own.
        public: where callers come in, if not here: the edge's address.
    """

    def __init__(
        self,
        router: Router,
        *,
        mounts: Mapping[str, Mount] | None = None,
        max_body: int = 64 * MIB,
        origins: Collection[str] = (),
        tokens: Collection[str] = (),
        faces: Faces | None = None,
        public: Address | None = None,
    ) -> None:
        self._router = router
        self._faces = faces or Faces(router)
        self._own_faces = faces is None
        self._mounts = dict(mounts or {})
        self._max_body = max_body
        self._origins = origins
        self._tokens = tokens
        self._public = public
        self._descriptions = self._faces.descriptions
        self._runner: web.AppRunner | None = None
        self._guard: Guard | None = None

    async def start(self, address: Address, option: str = "--http") -> Address:
        """Listen; port 0 chooses one.

        Raises:
            ConfigError: the port is in use; names `option`.
        """
        check_free(address, option)
        if self._own_faces:
            await self._faces.start()
        self._guard = Guard(self._public or address, self._origins, self._tokens)
        app = web.Application(middlewares=[self._answer_errors], client_max_size=self._max_body)
        RouterRest(self._router, self._max_body).add_to(app, self._guard.let_in)
        app.middlewares[:0] = http_spans(self._router.tracing)
        app.router.add_get("/", self._get_root)
        app.router.add_post("/v1/{target}", self._post_call)
        app.router.add_get("/v1/{target}", self._get_described)
        app.router.add_get("/openapi.json", self._get_openapi)
        page.add_to(app)
        app.router.add_route(ANY, "/{name}", self._slash)
        app.router.add_route(ANY, "/{name}/{tail:.*}", self._mounted)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host, address.port)
        await site.start()
        return Address(address.host, self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._own_faces:
            await self._faces.close()

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            assert self._guard is not None
            return await handler(self._guard.let_in(request))
        except web.HTTPRequestEntityTooLarge:
            most = f"the body exceeds {self._max_body} bytes"
            return error_response(Exhausted(most, reason="size"))
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _not_here(request, error)
        except InferloomError as error:
            return error_response(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.error("request failed unexpectedly", path=request.path, exc_info=error)
            return error_response(error)

    async def _get_root(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/docs")

    async def _get_openapi(self, request: web.Request) -> web.Response:
        return web.json_response(document(*await operations(self._faces)))

    async def _get_described(self, request: web.Request) -> web.Response:
        """What Describe answers over gRPC."""
        name = await self._target(request.match_info["target"])
        served = await self._faces.of(name)
        return web.json_response(telling(served, self._router.pool.catalog.models[name].versions))

    async def _post_call(self, request: web.Request) -> web.StreamResponse:
        router, began = self._router, self._router.clock.now()
        model, version, code = UNKNOWN_MODEL, "", StatusCode.OK
        try:
            name = await self._target(request.match_info["target"])
            model = name
            asked = request.query.get("version", "")
            version = asked if not asked or asked in router.pool.groups[name].model.versions else UNKNOWN_VERSION
            call = self._call(request, name, asked)
            if router.pool.groups[name].model.kind is Kind.MODEL:
                return await self._model(request, call)
            return await self._typed(request, call)
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except Exception as error:
            given = metadata_of(request.headers)
            code = router.failures.raised(
                error, began, model=model, version=version, method=CALL.path, metadata=given
            ).code
            raise
        finally:
            router.metrics.finished(model, version, code, router.clock.now() - began)

    async def _typed(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Of a service or pipeline."""
        body = await _body(request)
        message = typed_pb2.TypedRequest(model_name=call.model, model_version=call.version, json=body)
        call = call._replace(payload=message.SerializeToString())
        if await self._descriptions.streams(call.model):
            answers = json_answers(self._router, unhurried(call, request))
            return await pass_on(request, answers, form_of(request))
        reply = await self._router(call)
        return _answered(request, typed_pb2.TypedResponse.FromString(reply.payload).json, reply)

    async def _model(self, request: web.Request, call: Call) -> web.StreamResponse:
        """Of a model in a Triton."""
        body = await _body(request)
        served = await self._faces.of(call.model, call.version)
        call = await read_model(served, call, body)
        if served.face.predict.streams:
            answers = stream_model(self._router, served, unhurried(call, request))
            return await pass_on(request, answers, form_of(request))
        body, reply = await answer_model(self._router, served, call)
        return _answered(request, body, reply)

    async def _target(self, text: str) -> str:
        """The catalog's name for NAME or NAME:METHOD. ModelNotFound where there is none."""
        catalog = self._router.pool.catalog
        name, colon, method = text.partition(":")
        full = f"{name}.{method}" if colon else name
        if full in catalog.models:
            return full
        if name in catalog.models:
            if method in DEFAULT_METHODS:
                return name
            if catalog.models[name].kind is not Kind.MODEL and method == await self._descriptions.method(name):
                return name
        raise ModelNotFound(full, catalog.near(full))

    def _call(self, request: web.Request, name: str, version: str) -> Call:
        """Without its payload."""
        policy = self._router.policy(name)
        seconds = timeout_of(request.headers)
        seconds = policy.timeout if seconds is None else min(seconds, policy.longest)
        deadline = self._router.clock.now() + seconds
        return Call(name, version, CALL.path, b"", metadata_of(request.headers), deadline)

    async def _slash(self, request: web.Request) -> web.StreamResponse:
        """/NAME -> /NAME/, so that links relative to it lead below it."""
        self._mount(request)
        raise web.HTTPPermanentRedirect(request.rel_url.with_path(f"/{request.match_info['name']}/", keep_query=True))

    async def _mounted(self, request: web.Request) -> web.StreamResponse:
        return await self._mount(request)(request, request.match_info["name"], request.match_info["tail"])

    def _mount(self, request: web.Request) -> Mount:
        name = request.match_info["name"]
        if name == "v1":
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "POST"])
        model = self._router.pool.catalog.models.get(name)
        mount = self._mounts.get(name) or self._mounts.get(ANY)
        served = model is not None and model.kind is Kind.SERVICE and any(r.app_port > 0 for r in model.replicas)
        if mount is None or not served:
            raise web.HTTPNotFound
        return mount


def _answered(request: web.Request, body: bytes, reply: Reply) -> web.Response:
    headers = response_headers(request.headers.get("X-Request-Id"), reply.initial, reply.trailing)
    return web.Response(body=body, content_type="application/json", headers=headers)


async def _body(request: web.Request) -> bytes:
    """The JSON, not read; an object without fields where there is no body. InvalidInput for another content type."""
    body = await request.read()
    if not body:
        return b"{}"
    kind = request.content_type
    if kind != "application/json" and not kind.endswith("+json"):
        given = request.headers.get("Content-Type", "none")
        raise InvalidInput(
            f"Content-Type: takes application/json, got {given[:80]!r} (with curl: -H 'Content-Type: application/json')"
        )
    return body


def _not_here(request: web.Request, error: web.HTTPException) -> web.Response:
    what = f"{request.method} {request.path[:200]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        response = error_response(InvalidInput(f"{what}: takes {allowed}"))
        response.headers["Allow"] = allowed
    else:
        text = f"{what}: {error.reason}; there are POST and GET /v1/NAME[:METHOD], GET /openapi.json and GET /docs"
        response = error_response(InvalidInput(text))
    response.set_status(error.status)
    return response
