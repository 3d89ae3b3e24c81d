"""Spans of HTTP requests: a server's around each that is answered here, a client's around each that is passed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.mesh.telemetry.tracing_span import Kind, Nothing, Span, child
from inferloom.services.typed.http_headers import metadata_of

__all__ = ["http_spans", "passing_on"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ASKING = frozenset({"infer", "generate", "generate_stream"})  # under /v2


def http_spans(tracing: Tracing) -> list[Any]:
    """A middleware, outermost; none where nothing is traced."""
    if not tracing.on:
        return []

    @web.middleware
    async def traced(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if not route:
            return await handler(request)
        try:
            metadata = metadata_of(request.headers)
        except InvalidInput:  # whoever reads them says so
            metadata = ()
        with tracing.http(request.method, route, metadata) as span:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                _tell(span, error.status)
                raise
            _tell(span, answer.status)
            return answer

    return [traced]


def route_of(request: web.Request) -> str:
    """The path with {names} in it; "" for pages, health and what is asked about models: they are not traced."""
    resource = request.match_info.route.resource
    known = resource.canonical if resource is not None else ""
    if request.path.startswith("/v2/"):
        last = request.path.rpartition("/")[2]
        return f"/v2/models/{{model}}/{last}" if last in ASKING else ""
    if known.startswith("/{name}/") or (request.method == "POST" and known.startswith("/v1/")):
        return known
    return ""


def passing_on(method: str, replica: Replica) -> Span | Nothing:
    """A client's span around a request that is passed on to a replica's HTTP port."""
    span = child(method, Kind.CLIENT)
    if isinstance(span, Span):
        span.attributes.update({"http.request.method": method, "server.address": replica.host})
        span.set(model=replica.model, replica=replica.id)
    return span


def _tell(span: Span | None, status: int) -> None:
    if span is not None:
        span.http_answered(status)
