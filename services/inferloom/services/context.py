"""What is known about the call that runs: its deadline, and the metadata that travels with it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from inferloom.mesh.call import Metadata

__all__ = ["CallContext", "current"]


@dataclass(frozen=True, slots=True)
class CallContext:
    """Handles pass both on: no call inside lasts longer than the one outside, and a trace is one trace."""

    deadline: float  # absolute, on the process's Clock (mesh.clock.SYSTEM)
    metadata: Metadata = ()  # the caller's: traceparent, tracestate, baggage, request id, the split's unit ...


current: ContextVar[CallContext | None] = ContextVar("inferloom_call", default=None)
