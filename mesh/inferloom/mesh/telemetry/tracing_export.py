"""Finished spans on their way to an OTLP receiver, from a thread of its own.

The request path puts them into a bounded queue and goes on. A receiver that does not answer costs spans, nothing else, and
one warning until it answers again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry.tracing_bridge import bridge
from inferloom.mesh.telemetry.tracing_span import Span

__all__ = ["Exporting", "otlp_exporting"]

log = structlog.get_logger(__name__)

QUEUE = 8192  # spans that wait; of more the oldest are lost
BATCH = 512  # spans of one message
DELAY = "OTEL_BSP_SCHEDULE_DELAY"  # milliseconds between two messages
LAST = 2.0  # seconds that the end of the process waits for the last spans
_SDKS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.exporter.otlp.proto.grpc.trace_exporter")

Export = Callable[[Sequence[Any]], bool]


class Exporting:
    """The queue and its thread.

    Args:
        export: sends spans, False where the receiver did not take them; called in the thread, may block.
        where: of the receiver, for the warning.
        delay: seconds that spans gather.
        stop: ends what `export` is doing.
    """

    def __init__(
        self, export: Export, where: str, delay: float = 1.0, stop: Callable[[], object] = lambda: None
    ) -> None:
        self._export = export
        self._where = where
        self._delay = delay
        self._stop = stop
        self._queue: deque[Any] = deque(maxlen=QUEUE)
        self._closing = threading.Event()
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: Span | Any) -> None:
        """A span of ours, or a `ReadableSpan`."""
        self._queue.append(span)

    def close(self, timeout: float = LAST) -> None:
        """Send what is left, for at most `timeout` seconds."""
        self._closing.set()
        self._thread.join(timeout)
        self._stop()

    def _run(self) -> None:
        while not self._closing.wait(self._delay):
            self.send()
        self.send()

    def send(self) -> None:
        """Send what waits, until the receiver does not take it; in the thread."""
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if self._export(batch):
                if self._lost:
                    log.info("traces are taken again", receiver=self._where, lost=self._lost)
                self._lost = 0
                continue
            if not self._lost:
                log.warning("traces are lost: the OTLP receiver does not take them", receiver=self._where)
            self._lost += len(batch)
            return  # what else waits is tried after the delay, the newest of it


def otlp_exporting(service: str, *, users_code: bool = False) -> Exporting:
    """OTLP over gRPC, as OpenTelemetry's environment variables configure it (endpoint, headers, certificates, time-out).

    Args:
        users_code: the process runs code that may make spans with OpenTelemetry's API.

    Raises:
        ConfigError: the packages are missing, or another protocol is asked for.
    """
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "grpc"):
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: traces go over grpc (port 4317 of most receivers)")
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        raise ConfigError(
            "an OTLP endpoint is set and OpenTelemetry is missing: pip install 'inferloom[tracing]'"
        ) from None
    for name in _SDKS:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # it would say the same every few seconds
    exporter = OTLPSpanExporter()
    resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)})

    def export(spans: Sequence[Any]) -> bool:
        told = [readable(span, resource) if isinstance(span, Span) else span for span in spans]
        return exporter.export(told) is SpanExportResult.SUCCESS

    where = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    exporting = Exporting(export, where, _delay(), exporter.shutdown)
    if users_code:
        bridge(exporting.put, resource)
    return exporting


def readable(span: Span, resource: Any) -> Any:
    """OpenTelemetry's form of it."""
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    def at(trace: str, each: str) -> Any:
        return api.SpanContext(int(trace, 16), int(each, 16), is_remote=False, trace_flags=api.TraceFlags(1))

    kinds = (api.SpanKind.INTERNAL, api.SpanKind.INTERNAL, api.SpanKind.SERVER, api.SpanKind.CLIENT)
    status = api.Status(api.StatusCode.ERROR, span.message) if span.is_error else api.Status()
    return ReadableSpan(
        span.name,
        context=at(span.trace.id, span.id),
        parent=at(span.trace.id, span.parent) if span.parent else None,
        resource=resource,
        attributes=span.attributes,
        links=[api.Link(at(*link)) for link in span.links],
        kind=kinds[span.kind],
        status=status,
        start_time=span.began,
        end_time=span.ended,
        instrumentation_scope=InstrumentationScope("inferloom"),
    )


def _delay() -> float:
    text = os.environ.get(DELAY, "1000")
    try:
        return max(float(text), 1.0) / 1000
    except ValueError:
        raise ConfigError(f"{DELAY}={text}: it is a number of milliseconds") from None
