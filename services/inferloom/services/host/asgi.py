"""Runs an ASGI application (FastAPI, Starlette, ...) inside the host's event loop, on a loopback port of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError, Unsupported
from inferloom.services.answerer import Description
from inferloom.services.context import CallContext
from inferloom.services.host.asgi_request import Application, Contextual
from inferloom.services.host.gate import Gate
from inferloom.services.host.work import Work
from inferloom.services.signature import Signature

__all__ = ["AsgiAnswerer", "AsgiServer"]

STARTING = 30.0  # seconds for the application's start-up


class AsgiServer:
    """One application behind uvicorn.

    Args:
        app: the application.
        name: of the service; it is mounted at /NAME/.
        host: to listen on; others reach it through the proxy of `up` or a router on the same network.
    """

    def __init__(self, app: Application, name: str, gate: Gate, work: Work, host: str, clock: Clock = SYSTEM) -> None:
        self._app = Contextual(app, name, gate, work, clock)
        self._name = name
        self._host = host
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        self.port = 0

    async def start(self) -> None:
        """Run its start-up (lifespan) and listen.

        Raises:
            ConfigError: uvicorn is missing, or the application's start-up failed.
        """
        uvicorn = _uvicorn(self._name)

        class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
            @contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield  # signals are the host's

        config = uvicorn.Config(
            self._app,
            lifespan="auto",
            log_config=None,
            access_log=False,
            root_path=f"/{self._name}",
            proxy_headers=True,
            forwarded_allow_ips="127.0.0.1,::1",
            timeout_graceful_shutdown=1,
            ws="auto",
        )
        self._server = Server(config)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.bind((self._host, 0))
        self.port = self._socket.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([self._socket]), name=f"asgi {self._name}")
        try:
            async with asyncio.timeout(STARTING):
                while not self._server.started and not self._task.done():
                    await asyncio.wait({self._task}, timeout=0.01)
        except TimeoutError:
            await self.close()
            raise ConfigError(f"service '{self._name}': its start-up did not end within {STARTING:.0f} s") from None
        if self._task.done():
            await self.close()
            raise ConfigError(f"service '{self._name}': the start-up of its ASGI application failed; the log says why")

    async def close(self) -> None:
        """Run its shutdown; requests still under way are cancelled."""
        task, self._task = self._task, None
        if task is not None:
            self._server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()


class AsgiAnswerer:
    """The name of an ASGI service in the catalog: it is ready or not like a model; its requests are HTTP."""

    kind = Kind.SERVICE
    signature = Signature((), ())

    def __init__(self, name: str, version: str, repeat: Repeat, text: str) -> None:
        self.name = name
        self.version = version
        self.repeat = repeat
        self._text = text

    async def infer(self, request: Any, context: CallContext) -> Any:
        raise self._unsupported()

    async def call_json(self, body: bytes, context: CallContext) -> bytes:
        raise self._unsupported()

    def stream(self, request: Any, context: CallContext) -> AsyncIterator[Any]:
        raise self._unsupported()

    def stream_json(self, body: bytes, context: CallContext) -> AsyncIterator[bytes]:
        raise self._unsupported()

    def describe(self) -> Description:
        raise self._unsupported()

    def _unsupported(self) -> Unsupported:
        return Unsupported(
            f"'{self.name}' is an HTTP application: send HTTP requests to /{self.name}/ of the HTTP port"
        )


def _uvicorn(name: str) -> Any:
    try:
        import uvicorn
    except ImportError:
        raise ConfigError(f"service '{name}' has asgi=, which needs uvicorn: pip install 'inferloom[asgi]'") from None
    return uvicorn
