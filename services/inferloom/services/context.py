"""What is known about the call that runs: its deadline, and the metadata that travels with it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import DeadlineExceeded

__all__ = ["CallContext", "current", "inherited", "remaining"]


@dataclass(frozen=True, slots=True)
class CallContext:
    """Handles pass both on: no call inside lasts longer than the one outside, and a trace is one trace."""

    deadline: float  # absolute, on the process's Clock (mesh.clock.SYSTEM)
    metadata: Metadata = ()  # the caller's: traceparent, tracestate, baggage, request id, the split's unit ...


current: ContextVar[CallContext | None] = ContextVar("inferloom_call", default=None)


def remaining(timeout: float | None, default: float, clock: Clock) -> float:
    """Seconds that a call may take: what was given, within what is left of the running call; else `default`.

    Raises:
        DeadlineExceeded: nothing is left.
    """
    context = current.get()
    if context is None:
        return default if timeout is None else timeout
    left = context.deadline - clock.now()
    if left <= 0:
        raise DeadlineExceeded("no time was left of the running call's deadline")
    return left if timeout is None else min(timeout, left)


def inherited(given: Mapping[str, Any] | None) -> Metadata:
    """The running call's metadata, with what is given on top."""
    context = current.get()
    running: Metadata = context.metadata if context is not None else ()
    if not given:
        return running
    own = {str(name).lower(): value if isinstance(value, bytes) else str(value) for name, value in given.items()}
    return (*(item for item in running if item[0] not in own), *own.items())
