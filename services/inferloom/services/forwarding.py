"""HTTP requests to replicas: a reverse proxy over the router's pool.

One attempt, save where the connection was refused before anything was sent: then the next replica is tried. Bodies stream
both ways.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

import aiohttp
from aiohttp import web
from grpc import StatusCode
from multidict import CIMultiDict
from yarl import URL

from inferloom.mesh.call import Call, Outcome, verdict
from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import DeadlineExceeded, NoReplica, ReplicaError, Unsupported
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.group import Group
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.tracing_span import current
from inferloom.services.traced_http import passing_on

__all__ = ["Forwarder", "Place"]

CONNECT = 1.0  # seconds for a connection to a replica
SPARE = 1.0  # seconds beyond the request's own: the replica answers 504 itself
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)  # RFC 9110, 7.6.1


class Place(NamedTuple):
    """Where a replica takes a request."""

    port: int  # 0: it takes none
    path: str  # without a slash before it, as it goes over the wire (percent-encoded)


class Forwarder:
    """Keeps connections to replicas' HTTP ports."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def pass_on(
        self,
        request: web.Request,
        group: Group,
        call: Call,
        place: Callable[[Replica], Place],
        silence: float,
        body: bytes | None = None,
    ) -> web.StreamResponse:
        """The answer of one of a group's replicas.

        Args:
            call: what replicas are chosen by; it has no payload.
            silence: seconds without a byte from the replica after which it is given up.
            body: the request's, where it was read already (and its encoding taken off).

        Raises:
            NoReplica, DeadlineExceeded, ReplicaError: before the answer has begun.
        """
        clock = self._router.clock
        tried: list[Endpoint] = []
        while True:
            endpoint = group.choose(call, clock.now(), tried)
            if endpoint in tried:
                if not any(place(each.replica).port for each in tried):
                    raise Unsupported(f"no replica of '{call.model}' has an HTTP port for it")
                raise NoReplica(group.explain(clock.now()))
            where = place(endpoint.replica)
            if where.port:
                with passing_on(request.method, endpoint.replica) as span:
                    answer = await self._attempt(request, endpoint, where, silence, body)
                    if span is not None and answer is not None:
                        span.http_answered(answer.status)
                if answer is not None:
                    return answer
            tried.append(endpoint)

    async def _attempt(
        self, request: web.Request, endpoint: Endpoint, where: Place, seconds: float, body: bytes | None
    ) -> web.StreamResponse | None:
        """The answer; None where the connection was refused, so that nothing was sent."""
        now = self._router.clock.now
        began, code = now(), None
        permit = endpoint.health.begin()
        endpoint.load.begin()
        lost = False
        try:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=seconds + SPARE)
            try:
                reply = await self._client().request(
                    request.method,
                    _url(endpoint, request, where),
                    headers=_onwards(request, body),
                    data=_streamed(request) if body is None else io.BytesIO(body),
                    allow_redirects=False,
                    timeout=timeout,
                )
            except aiohttp.ClientConnectorError as error:
                code, lost = StatusCode.UNAVAILABLE, True
                endpoint.health.refuse(f"no connection to its HTTP port: {error.strerror}")
                return None
            async with reply:
                code = StatusCode.UNAVAILABLE if reply.status in (502, 503) else StatusCode.OK
                return await _stream_back(request, reply)
        except (aiohttp.ClientError, TimeoutError) as error:
            late = isinstance(error, TimeoutError)
            code = StatusCode.DEADLINE_EXCEEDED if late else StatusCode.UNAVAILABLE
            lost = not late
            name = endpoint.replica.model
            if late:
                raise DeadlineExceeded(f"'{name}' did not answer within {seconds:g} s") from None
            raise ReplicaError(code, f"the connection to '{name}' broke before it answered") from None
        finally:
            seconds_taken = now() - began
            judged = verdict(Outcome(code, seconds_taken, lost=lost))
            permit.done(judged, now())
            endpoint.load.done(judged, seconds_taken, now())

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0),
                trust_env=False,
            )
        return self._session


async def _stream_back(request: web.Request, reply: aiohttp.ClientResponse) -> web.StreamResponse:
    answer = web.StreamResponse(status=reply.status, reason=reply.reason)
    for key, value in _passed(reply.headers.items(), reply.headers.get("Connection", "")):
        answer.headers.add(key, value)
    await answer.prepare(request)
    try:
        async for chunk in reply.content.iter_any():
            await answer.write(chunk)
        await answer.write_eof()
    except (aiohttp.ClientError, TimeoutError):
        # Half of an answer is out: only a broken connection tells the caller so.
        if request.transport is not None:
            request.transport.abort()
    return answer


def _url(endpoint: Endpoint, request: web.Request, where: Place) -> URL:
    replica = endpoint.replica
    host = f"[{replica.host}]" if ":" in replica.host else replica.host
    query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
    return URL(f"http://{host}:{where.port}/{where.path.lstrip('/')}{query}", encoded=True)


def _streamed(request: web.Request) -> AsyncIterator[bytes] | None:
    return request.content.iter_any() if request.body_exists else None


def _onwards(request: web.Request, body: bytes | None) -> CIMultiDict[str]:
    """The request's headers for the replica; X-Forwarded-* say what the caller's connection was."""
    headers: CIMultiDict[str] = CIMultiDict(_passed(request.headers.items(), request.headers.get("Connection", "")))
    if body is not None:
        for name in ("Content-Encoding", "Content-Length"):
            headers.popall(name, None)
    span = current.get()
    if span is not None:
        headers["traceparent"] = span.traceparent
    chain = [headers.get("X-Forwarded-For", ""), request.remote or ""]
    headers["X-Forwarded-For"] = ", ".join(filter(None, chain))
    headers.setdefault("X-Forwarded-Proto", request.scheme)
    headers.setdefault("X-Forwarded-Host", request.host)
    return headers


def _passed(headers: Iterable[tuple[str, str]], connection: str) -> list[tuple[str, str]]:
    """All but those that are about one connection (RFC 9110, 7.6.1)."""
    named = {each.strip().lower() for each in connection.split(",")}
    return [(key, value) for key, value in headers if key.lower() not in HOP_BY_HOP and key.lower() not in named]
