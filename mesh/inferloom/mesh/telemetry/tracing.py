"""Traces with OpenTelemetry, off by default at no cost.

The W3C trace context of the caller is forwarded at every hop in any case: it is metadata like any other. With an OTLP
endpoint in the usual environment variables the router adds its own spans: one for the call, one for each attempt; the
attempt's context goes to Triton, which continues the trace.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from grpc import StatusCode

from inferloom.mesh.call import Call, Handler, Layer, Metadata, Reply
from inferloom.mesh.errors import ConfigError, status_of

__all__ = ["Tracing", "from_environment"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVER_FAULTS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)  # a server span of these is an error; others are the caller's (semantic conventions for gRPC)
_CONTEXT_KEYS = frozenset({"traceparent", "tracestate", "baggage"})


Attempt = Callable[..., Awaitable[Any]]  # (endpoint, call, policy, clock, metadata) -> Reply or what failed


class Tracing:
    """What the router adds to its stack to be traced; nothing where there is no provider.

    Args:
        provider: an OpenTelemetry TracerProvider, shut down by `close`.
    """

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        self.layers: tuple[Layer, ...] = () if provider is None else (call_layer(provider),)

    def attempt(self, inner: Attempt) -> Attempt:
        """The attempt itself, with a span around it where there is a provider."""
        return inner if self._provider is None else traced_attempt(self._provider, inner)

    def close(self) -> None:
        """Export what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def from_environment(service: str) -> Tracing:
    """Tracing as the usual environment variables configure it; off without an OTLP endpoint.

    Raises:
        ConfigError: an endpoint is configured and the packages are missing.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(
            "an OTLP endpoint is set and OpenTelemetry is missing: pip install 'inferloom[tracing]'"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def call_layer(provider: Any) -> Layer:
    """A server span around each call; its context travels on in the metadata."""
    from opentelemetry import trace
    from opentelemetry.propagate import extract

    tracer = provider.get_tracer("inferloom.router")

    def layer(inner: Handler) -> Handler:
        async def traced(call: Call) -> Reply:
            service, _, method = call.method.lstrip("/").rpartition("/")
            parent = extract({key: value for key, value in call.metadata if isinstance(value, str)})
            attributes = {
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "inferloom.model": call.model,
                "inferloom.version": call.version,
            }
            with tracer.start_as_current_span(
                call.method.lstrip("/"),
                context=parent,
                kind=trace.SpanKind.SERVER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    reply = await inner(call)
                except BaseException as error:
                    _end(span, error, trace)
                    raise
                span.set_attribute("rpc.grpc.status_code", 0)
                return reply

        return traced

    return layer


def traced_attempt(provider: Any, inner: Attempt) -> Attempt:
    """A client span around each attempt. Its context replaces the caller's in the metadata, so Triton continues it."""
    from opentelemetry import trace
    from opentelemetry.propagate import inject

    tracer = provider.get_tracer("inferloom.router")

    async def attempt(endpoint: Any, call: Call, policy: Any, clock: Any, metadata: Metadata) -> Any:
        attributes = {
            "rpc.system": "grpc",
            "server.address": endpoint.replica.host,
            "server.port": endpoint.replica.port,
            "inferloom.model": call.model,
            "inferloom.replica": endpoint.replica.id,
        }
        with tracer.start_as_current_span(
            "attempt",
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            carrier: dict[str, str] = {}
            inject(carrier)
            others = tuple(pair for pair in metadata if pair[0] not in _CONTEXT_KEYS)
            try:
                answer = await inner(endpoint, call, policy, clock, others + tuple(carrier.items()))
            except BaseException as error:
                _end(span, error, trace)
                raise
            failed = getattr(answer, "error", None)
            if failed is None:
                span.set_attribute("rpc.grpc.status_code", 0)
            else:
                status = status_of(failed)
                span.set_attribute("rpc.grpc.status_code", status.code.value[0])
                span.set_status(trace.StatusCode.ERROR, status.message)
            return answer

    return attempt


def _end(span: Any, error: BaseException, trace: Any) -> None:
    if isinstance(error, Exception):
        status = status_of(error)
        span.set_attribute("rpc.grpc.status_code", status.code.value[0])
        if status.code in SERVER_FAULTS:
            span.set_status(trace.StatusCode.ERROR, status.message)
        return
    span.set_attribute("rpc.grpc.status_code", StatusCode.CANCELLED.value[0])
    span.set_attribute("inferloom.cancelled", True)
