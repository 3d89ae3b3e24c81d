"""One HTTP request of an ASGI application, with what a call of a Service has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from grpc import StatusCode
from multidict import CIMultiDict, CIMultiDictProxy

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import DeadlineExceeded, Exhausted, InferloomError, InvalidInput
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.telemetry.tracing import here
from inferloom.services.context import CallContext, current
from inferloom.services.declare.pending import scope
from inferloom.services.host.fault import inside
from inferloom.services.host.gate import Gate
from inferloom.services.host.traced import below, watched
from inferloom.services.host.work import Work
from inferloom.services.typed.http_errors import error_response
from inferloom.services.typed.http_headers import metadata_of, timeout_of

__all__ = ["Application", "Contextual"]

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY = TrafficPolicy()


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
        token = None
        try:
            context = self._context(scope_)
            with here().http(scope_.get("method", "WEBSOCKET"), f"/{self._name}/", context.metadata) as span:
                context = below(context, span)
                token = current.set(context)
                with self._gate, scope():
                    if scope_["type"] == "http":
                        await self._http(context, scope_, receive, send if span is None else watched(send, span))
                    else:
                        await self._app(scope_, receive, send)
        except (Exhausted, InvalidInput) as error:
            if scope_["type"] != "http":
                raise
            await _answer(send, error)
        finally:
            if token is not None:
                current.reset(token)

    def _context(self, scope_: Message) -> CallContext:
        """Its deadline and what travels with the calls made for it, from the headers. Raises InvalidInput."""
        headers: CIMultiDict[str] = CIMultiDict()
        for key, value in scope_["headers"]:
            headers.add(key.decode("latin-1"), value.decode("latin-1"))
        found = CIMultiDictProxy(headers)
        seconds = min(timeout_of(found) or POLICY.timeout, POLICY.longest)
        return CallContext(self._clock.now() + seconds, metadata_of(found))

    async def _http(self, context: CallContext, scope_: Message, receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        caller = _Caller(receive, has_body=_has_body(scope_))
        working = asyncio.create_task(_run(self._app(scope_, caller.receive, answer.send)), name="asgi request")
        leaving = asyncio.create_task(caller.gone.wait(), name="asgi disconnect")
        try:
            left = context.deadline - self._clock.now()
            await asyncio.wait({working, leaving}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if working.done() or answer.ended:  # what it does after its answer (background tasks) is its own affair
                await self._outcome(working, answer, send)
                return
            answer.shut = True
            if not caller.gone.is_set() and not answer.started:
                await _answer(send, DeadlineExceeded(f"'{self._name}' did not answer before the deadline"))
        finally:
            self._work.abandon(working, self._name)
            leaving.cancel()
            await caller.close()

    async def _outcome(self, working: asyncio.Task[None], answer: _Answer, send: Send) -> None:
        """Its exception goes on to uvicorn, which logs it; a handle's, that something else was late or away, is an answer."""
        try:
            await working
        except InferloomError as error:
            status = inside(error)
            if answer.started or status.code not in _WAITED_FOR:
                await answer.release()
                raise
            log.warning("a call of the application failed", service=self._name, error=str(error))
            await _answer(send, status)
        except BaseException:
            await answer.release()
            raise
        else:
            await answer.release()


_WAITED_FOR = frozenset({StatusCode.DEADLINE_EXCEEDED, StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED})


class _Answer:
    """What the application has sent so far.

    A plain 500 is held back until the application has ended: frameworks send it for any exception, before they raise
    that, and the error of a handle has a status of its own.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.held: list[Message] = []
        self.started = False  # something is on its way to the caller
        self.ended = False
        self.shut = False  # nobody takes any more

    async def send(self, message: Message) -> None:
        if self.shut:
            return
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if message["type"] == "http.response.start" and message["status"] == 500:
            self.held.append(message)
            return
        if self.held and last:
            self.held.append(message)
            return
        await self.release()
        self.started, self.ended = True, last
        await self._send(message)

    async def release(self) -> None:
        """Send what was held back."""
        held, self.held = self.held, []
        for message in held:
            self.started = True
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


def _has_body(scope_: Message) -> bool:
    headers = dict(scope_["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


async def _run(working: Awaitable[None]) -> None:
    await working


async def _answer(send: Send, error: InferloomError) -> None:
    response = error_response(error)
    body = (response.text or "").encode()
    headers = [(key.lower().encode(), value.encode()) for key, value in response.headers.items()]
    headers = [each for each in headers if each[0] != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
