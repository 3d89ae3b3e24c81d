"""Runs an ASGI application (FastAPI, Starlette, ...) inside the host's event loop, on a loopback port of its own."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError, Exhausted, Unsupported
from inferloom.services.answerer import Description
from inferloom.services.context import CallContext, current
from inferloom.services.declare.pending import scope
from inferloom.services.host.gate import Gate
from inferloom.services.host.http_context import context_of
from inferloom.services.host.work import Work
from inferloom.services.signature import Signature

__all__ = ["AsgiAnswerer", "AsgiServer", "Contextual"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

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


class Contextual:
    """The application with what a Service has: `current` set, a deadline, cancelled when its caller goes away."""

    def __init__(self, app: Application, name: str, gate: Gate, work: Work, clock: Clock = SYSTEM) -> None:
        self._app = app
        self._name = name
        self._gate = gate
        self._work = work
        self._clock = clock

    async def __call__(self, scope_: Message, receive: Receive, send: Send) -> None:
        if scope_["type"] == "lifespan":
            await self._app(scope_, receive, send)
            return
        context = context_of(scope_["headers"], self._clock.now())
        token = current.set(context)
        try:
            with self._gate, scope():
                if scope_["type"] == "http":
                    await self._http(context, scope_, receive, send)
                else:
                    await self._app(scope_, receive, send)
        except Exhausted as error:
            if scope_["type"] == "http":
                await _answer(send, 503, str(error))
            else:
                await send({"type": "websocket.close", "code": 1013, "reason": "overloaded"})
        finally:
            current.reset(token)

    async def _http(self, context: CallContext, scope_: Message, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        caller = _Caller(receive, has_body=_has_body(scope_))
        working = asyncio.create_task(_run(self._app(scope_, caller.receive, answer.send)), name="asgi request")
        leaving = asyncio.create_task(caller.gone.wait(), name="asgi disconnect")
        try:
            left = context.deadline - self._clock.now()
            await asyncio.wait({working, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if working.done() or answer.ended:  # what it does after its answer (background tasks) is its own affair
                await working
                return
            answer.shut = True
            if not caller.gone.is_set() and not answer.started:
                await _answer(send, 504, "the deadline passed before the application answered")
        finally:
            self._work.abandon(working, self._name)
            leaving.cancel()
            await caller.close()


class _Answer:
    """What the application has sent so far."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.ended = False
        self.shut = False  # nobody takes any more

    async def send(self, message: Message) -> None:
        if self.shut:
            return
        self.started = True
        self.ended = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)


class _Caller:
    """The request's messages. Once its body has been taken, the only thing to come is the caller's leaving."""

    def __init__(self, receive: Receive, *, has_body: bool) -> None:
        self._receive = receive
        self._empty = not has_body  # then nobody has to ask for it before we may listen
        self._taken = asyncio.Event()
        if self._empty:
            self._taken.set()
        self.gone = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(), name="asgi caller")

    async def receive(self) -> Message:
        if self._empty:
            self._empty = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._taken.is_set():
            await self.gone.wait()
            return {"type": "http.disconnect"}
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone.set()
        elif not message.get("more_body", False):
            self._taken.set()
        return message

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        await self._taken.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.gone.set()


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


def _has_body(scope_: Message) -> bool:
    headers = dict(scope_["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _run(working: Awaitable[None]) -> None:
    await working


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
