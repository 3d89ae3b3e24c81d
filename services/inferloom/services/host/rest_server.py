"""A host's HTTP server: the Open Inference Protocol over REST, beside the gRPC port."""

from __future__ import annotations

from aiohttp import web

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry.tracing import here
from inferloom.services.host.face import HostFace
from inferloom.services.host.rest_backend import HostBackend
from inferloom.services.rest.face import RestFace
from inferloom.services.rest.generating import Generating
from inferloom.services.traced_http import http_spans

__all__ = ["RestServer"]

ENDING = 1.0  # seconds that requests still under way have when the server is closed
IDLE = 7200.0  # seconds; proxies close first (Envoy after an hour): a request must not meet a connection that ends


class RestServer:
    """Serves a face over HTTP until it is closed. A request counts as under way from its head to its last byte.

    Args:
        max_body: bytes of one request.
    """

    def __init__(self, face: HostFace, clock: Clock, max_body: int) -> None:
        self._face = face
        backend = HostBackend(face, clock)
        self._rest = RestFace(backend, max_body=max_body, generate=Generating(backend).handle)
        self._max_body = max_body
        self._leaving = False
        self._runner: web.AppRunner | None = None

    async def start(self, host: str) -> int:
        """Listen on a free port of this host; the port.

        Raises:
            ConfigError: there is none, or the address is not this machine's.
        """
        app = web.Application(client_max_size=self._max_body, middlewares=http_spans(here()))
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=ENDING,
            keepalive_timeout=IDLE,
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, 0).start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {host} for HTTP: {error.strerror or error}") from None
        port: int = self._runner.addresses[0][1]
        return port

    def leave(self) -> None:
        """From now on every answer ends its connection, so that callers open none to here again."""
        self._leaving = True

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        with self._face.working():
            answer = await self._rest.handle(request)
        if self._leaving and not answer.prepared:
            answer.force_close()
        return answer
