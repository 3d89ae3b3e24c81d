"""py-consul's client over aiohttp.

py-consul's own adapter passes options that aiohttp has deprecated and opens a TLS context for plain HTTP as well, so
this one takes its place behind the same interface. It also turns failures of the transport into RegistryUnavailable.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import aiohttp
from consul import base

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.consul.errors import unreachable
from inferloom.mesh.registry.consul.settings import ConsulSettings

__all__ = ["AioConsul"]

T = TypeVar("T")
Headers = dict[str, str] | None
CONNECTIONS = 4  # for calls; each blocking query has one of its own. The agent drops a client above 200
KEEPALIVE = 60.0  # seconds for which an idle connection is kept
CONNECT_TIMEOUT = 2.0  # seconds
TIMEOUT = 5.0  # seconds between two reads; blocking queries bring their own


class AioHTTP(base.HTTPClient):  # type: ignore[misc]  # py-consul has no types
    """The adapter. Made inside a running event loop."""

    def __init__(self, settings: ConsulSettings, connections: int) -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        super().__init__(host, settings.port, settings.scheme)
        self._settings = settings
        connector = aiohttp.TCPConnector(limit=connections, ssl=tls_context(settings), keepalive_timeout=KEEPALIVE)
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(_refuse_another)
        self._session = aiohttp.ClientSession(connector=connector, trace_configs=[trace])

    async def _request(
        self,
        callback: Callable[[base.Response], T],
        method: str,
        uri: str,
        headers: Headers,
        data: str | bytes | None,
        timeout: float | None,
        raw: bool = False,
        same_connection: bool = False,
    ) -> T:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=timeout or TIMEOUT)
        headers = dict(headers or {})
        if self._settings.namespace:
            headers["X-Consul-Namespace"] = self._settings.namespace
        try:
            async with self._session.request(
                method, uri, headers=headers, data=data, timeout=limits, trace_request_ctx=same_connection
            ) as response:
                body: str | bytes = await (response.read() if raw else response.text(encoding="utf-8"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self._settings, error) from error
        return callback(base.Response(response.status, response.headers, body))

    def get(
        self,
        callback: Callable[[base.Response], T],
        path: str,
        params: list[tuple[str, Any]] | None = None,
        headers: Headers = None,
        raw: bool = False,
        connections_timeout: float | None = None,
        same_connection: bool = False,
    ) -> Any:
        """With `same_connection`, fails where the connection of the request before is gone."""
        uri = self.uri(path, params)
        return self._request(callback, "GET", uri, headers, None, connections_timeout, raw, same_connection)

    def put(
        self,
        callback: Callable[[base.Response], T],
        path: str,
        params: list[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Headers = None,
        connections_timeout: float | None = None,
    ) -> Any:
        return self._request(callback, "PUT", self.uri(path, params), headers, data, connections_timeout)

    def delete(
        self,
        callback: Callable[[base.Response], T],
        path: str,
        params: list[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Headers = None,
        connections_timeout: float | None = None,
    ) -> Any:
        return self._request(callback, "DELETE", self.uri(path, params), headers, data, connections_timeout)

    def post(
        self,
        callback: Callable[[base.Response], T],
        path: str,
        params: list[tuple[str, Any]] | None = None,
        data: str | bytes = "",
        headers: Headers = None,
        connections_timeout: float | None = None,
    ) -> Any:
        return self._request(callback, "POST", self.uri(path, params), headers, data, connections_timeout)

    def close(self) -> Any:
        return self._session.close()


class AioConsul(base.Consul):  # type: ignore[misc]
    """py-consul's API; every call returns an awaitable."""

    def __init__(self, settings: ConsulSettings, connections: int = CONNECTIONS) -> None:
        self._settings = settings
        self._connections = connections
        super().__init__(settings.host, settings.port, settings.token or None, settings.scheme, verify=settings.verify)
        self.token = settings.token or None  # py-consul prefers CONSUL_HTTP_TOKEN to the token it is given

    def http_connect(self, host: str, port: int, scheme: str, verify: bool | str = True, cert: Any = None) -> AioHTTP:
        return AioHTTP(self._settings, self._connections)

    def close(self) -> Any:
        return self.http.close()


async def _refuse_another(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
    if context.trace_request_ctx:
        raise aiohttp.ServerDisconnectedError("connection lost")


def tls_context(settings: ConsulSettings) -> ssl.SSLContext | bool:
    """The context for https; True (aiohttp's word for "as usual") for http, which needs none.

    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    if settings.scheme != "https":
        return True
    try:
        context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        used = ", ".join(str(path) for path in (settings.ca, settings.cert, settings.key) if path is not None)
        raise ConfigError(f"TLS files for Consul ({used}) cannot be used: {error}") from error
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
