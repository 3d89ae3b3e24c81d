"""Spans around a router's attempts at replicas; of those that will be thrown away none is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import time_ns
from typing import Any

from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Kind, Replica
from inferloom.mesh.telemetry.tracing_context import onwards
from inferloom.mesh.telemetry.tracing_rpc import asking, sent_with
from inferloom.mesh.telemetry.tracing_span import Span, current

__all__ = ["Attempt", "traced_attempt"]

Attempt = Callable[..., Awaitable[Any]]  # (endpoint, call, policy, clock, metadata) -> Reply or what failed


def traced_attempt(inner: Attempt) -> Attempt:
    """A client's span around each attempt. Its context replaces the caller's in the metadata: the replica continues it."""

    async def attempt(endpoint: Any, call: Call, policy: Any, clock: Any, metadata: Any) -> Any:
        above = current.get()
        if above is None:
            return await inner(endpoint, call, policy, clock, metadata)
        above.attempts += 1
        replica = endpoint.replica
        if not above.trace.sampled and above is above.trace.root and replica.kind is Kind.MODEL:
            # The first attempt ends nearly every request, which is then forgotten: its span would be made for nothing.
            began, number = time_ns(), above.attempts
            try:
                answer = await inner(endpoint, call, policy, clock, onwards(metadata, ""))
            except BaseException as error:
                _late(above, replica, call, number, began).close(error)
                raise
            if number > 1 or getattr(answer, "error", None) is not None:
                _ended(_late(above, replica, call, number, began), answer)
            return answer
        span = asking(above, replica, call)
        span.attributes["inferloom.attempt"] = above.attempts
        with span:
            answer = await inner(endpoint, call, policy, clock, sent_with(metadata, span, replica))
            _said(span, answer)
            return answer

    return attempt


def _late(above: Span, replica: Replica, call: Call, number: int, began: int) -> Span:
    """The span of an attempt that began then."""
    span = asking(above, replica, call)
    span.began = began
    span.attributes["inferloom.attempt"] = number
    return span


def _said(span: Span, answer: Any) -> None:
    failed = getattr(answer, "error", None)
    if failed is None:
        span.answered()
    else:
        span.fail(failed)


def _ended(span: Span, answer: Any) -> None:
    _said(span, answer)
    span.end()
