"""A host's spans: a server's around each call, below which is whatever the code inside asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.mesh.telemetry.tracing_context import onwards
from inferloom.mesh.telemetry.tracing_span import Span, tell
from inferloom.services.answerer import Answerer
from inferloom.services.context import CallContext

__all__ = ["below", "name_it", "traced", "watched"]

Send = Callable[[Any], Awaitable[None]]
Answer = Callable[[bytes, CallContext], Awaitable[Any]]


def traced(tracing: Tracing, path: str, answer: Answer) -> Answer:
    """The answer with a server's span around it."""

    async def serve(payload: bytes, context: CallContext) -> Any:
        with tracing.server(path, context.metadata) as span:
            reply = await answer(payload, below(context, span))
            if span is not None:
                span.answered()
            return reply

    return serve


def below(context: CallContext, span: Span | None) -> CallContext:
    """The context for the code inside: its own requests elsewhere continue the span."""
    if span is None:
        return context
    return CallContext(context.deadline, onwards(context.metadata, span.traceparent))


def watched(send: Send, span: Span) -> Send:
    """An ASGI application's `send` that tells the span the answer's status."""

    async def watch(message: Any) -> None:
        if message["type"] == "http.response.start":
            span.http_answered(message["status"])
        await send(message)

    return watch


def name_it(answerer: Answerer) -> None:
    """Say in the current span who answers."""
    tell(model=answerer.name, version=answerer.version, kind=answerer.kind.value)
