"""Spans that users' code makes with OpenTelemetry's own API, in the traces of the requests it works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inferloom.mesh.telemetry import tracing_span
from inferloom.mesh.telemetry.tracing_span import Span

__all__ = ["bridge"]


def bridge(put: Callable[[Any], object], resource: Any) -> None:
    """From now on what this process's code makes with OpenTelemetry's API goes below our spans, and to the same receiver.

    Only what belongs to a request that is sampled. A TracerProvider that is set already stays: its spans have our parents,
    and go where it sends them.

    Args:
        put: takes finished spans, as `ReadableSpan`.
    """
    from opentelemetry import context, trace
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    class Onwards(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            put(span)

    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), resource=resource)
        provider.add_span_processor(Onwards())
        trace.set_tracer_provider(provider)

    def entered(span: Span) -> Callable[[], None]:
        at = trace.SpanContext(int(span.trace.id, 16), int(span.id, 16), False, trace.TraceFlags(1))
        token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(at)))
        return lambda: context.detach(token)

    tracing_span.entered = entered
