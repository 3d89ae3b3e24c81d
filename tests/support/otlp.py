"""Receivers of traces in this process: OTLP over gRPC, as the router sends it, and over HTTP, as Triton does."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from aiohttp import web
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

__all__ = ["Span", "Traces", "receiving"]

IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids in hex, "" for no parent."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: int  # 0 unset, 1 ok, 2 error
    attributes: dict[str, Any]


class Traces:
    """What was received."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.grpc = ""  # http://HOST:PORT for OTLP over gRPC
        self.http = ""  # http://HOST:PORT/v1/traces

    def of(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    async def until(self, condition: Callable[[], bool], timeout: float = 40.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"not within {timeout} s; so far {self.spans}"
            await asyncio.sleep(0.02)

    def take(self, request: Any) -> None:
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(_span(named.get("service.name", ""), span))


def _span(service: str, span: Any) -> Span:
    values = {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in span.attributes
    }
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return Span(service, span.name, *ids, span.kind, span.status.code, values)


class _Service(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._traces.take(request)
        return pb.ExportTraceServiceResponse()


def _from_json(text: bytes) -> Any:
    """OTLP's JSON has its ids in hex, where protobuf's has bytes in base64."""

    def fixed(value: Any) -> Any:
        if isinstance(value, list):
            return [fixed(each) for each in value]
        if isinstance(value, dict):
            return {k: _base64(v) if k in IDS and v else fixed(v) for k, v in value.items()}
        return value

    return json_format.ParseDict(fixed(json.loads(text)), pb.ExportTraceServiceRequest(), ignore_unknown_fields=True)


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


@asynccontextmanager
async def receiving() -> AsyncIterator[Traces]:
    """Both receivers, on free ports."""
    traces = Traces()
    server = grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Service(traces), server)  # type: ignore[no-untyped-call]
    traces.grpc = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"

    async def post(request: web.Request) -> web.Response:
        body = await request.read()
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        is_json = "json" in request.content_type
        traces.take(_from_json(body) if is_json else pb.ExportTraceServiceRequest.FromString(body))
        return web.Response(body=b"{}" if is_json else b"", content_type=request.content_type)

    app = web.Application()
    app.add_routes([web.post("/v1/traces", post)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    traces.http = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    await server.start()
    try:
        yield traces
    finally:
        await runner.cleanup()
        await server.stop(None)
