"""Spans of batches: each belongs to one of its requests' traces, and is linked with all of its requests.

unit a+b            of each request, from the moment it asks until it is answered; linked with its batch
  batch a+b         below the unit of the first request that is sampled; linked with the units of all
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.telemetry.tracing_context import TRACEPARENT, remote_of
from inferloom.mesh.telemetry.tracing_span import NOTHING, current
from inferloom.services.composer.batcher import Member
from inferloom.services.composer.run import Frame

__all__ = ["batch_span", "failed", "trace_of"]

_TRACE = frozenset({TRACEPARENT, "tracestate", "baggage"})


def batch_span(name: str, members: Sequence[Member[Frame]]) -> AbstractContextManager[None]:
    """Around the work on a batch: it runs in a task that may have been begun for another request."""
    if members[0].load.span is None and current.get() is None:
        return NOTHING
    return _spanned(name, members)


@contextmanager
def _spanned(name: str, members: Sequence[Member[Frame]]) -> Iterator[None]:
    units = [member.load.span for member in members]
    traced = [unit for unit in units if unit is not None]
    if not traced:
        token = current.set(None)
        try:
            yield
        finally:
            current.reset(token)
        return
    leader = next((unit for unit in traced if unit.trace.sampled), traced[0])
    with leader.child(f"batch {name}") as span:
        waits = [(span.began - unit.began) / 1e9 for unit in traced]
        span.set(batch_size=len(members), rows=sum(member.rows for member in members), queue_seconds=max(waits))
        for unit, wait in zip(traced, waits, strict=True):
            unit.set(queue_seconds=wait, batch_size=len(members))
            span.link(unit)
            unit.link(span)
        yield


def failed(error: InferloomError) -> None:
    """A batch has failed: its members are told, and nothing is raised."""
    span = current.get()
    if span is not None:
        span.fail(error)


def trace_of(frames: Sequence[Frame]) -> Metadata:
    """The trace context that a batch's calls continue where this process itself is not traced."""
    for frame in frames:
        remote = remote_of(frame.metadata)
        if remote is not None and remote.sampled:
            return _context(frame.metadata)
    return _context(frames[0].metadata)


def _context(metadata: Metadata) -> Metadata:
    return tuple([pair for pair in metadata if pair[0] in _TRACE])
