"""A receiver of traces in this process: OTLP over gRPC, as our roles send it, and over HTTP, as Triton does.

For tests and demonstrations: it keeps everything. Jaeger takes the same on the same two kinds of ports. Needs
`inferloom[tracing]`.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from inferloom.mesh.telemetry.tree import SpanRecord

__all__ = ["Received", "receiving"]

IDS = ("traceId", "spanId", "parentSpanId")


class Received:
    """What has come so far.

    Attributes:
        forward: told of every message, to pass it on.
        grpc: "http://HOST:PORT" for OTEL_EXPORTER_OTLP_ENDPOINT.
        http: "http://HOST:PORT/v1/traces" for INFERLOOM_TRITON_OTLP.
    """

    def __init__(self) -> None:
        self.spans: list[SpanRecord] = []
        self.forward: Callable[[Any], object] | None = None
        self.grpc = ""
        self.http = ""

    def of(self, trace: str) -> list[SpanRecord]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace == trace]

    def take(self, request: Any) -> None:
        """An ExportTraceServiceRequest."""
        if self.forward is not None:
            self.forward(request)
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(_record(named.get("service.name", ""), span))


def _record(service: str, span: Any) -> SpanRecord:
    values = {
        each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in span.attributes
    }
    return SpanRecord(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.status.code,
        values,
        tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        span.status.message,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


class _Service(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._received.take(request)
        return pb.ExportTraceServiceResponse()


class _Post(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # callers that ask for it get their 100 Continue; each connection is one request's

    def __init__(self, received: Received, *others: Any) -> None:
        self._received = received
        super().__init__(*others)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        is_json = "json" in self.headers.get("Content-Type", "")
        self._received.take(_from_json(body) if is_json else pb.ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        answer = b"{}" if is_json else b""
        self.send_header("Content-Type", self.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *parts: Any) -> None:
        """Nothing: it is no server for people."""


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


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Received]:
    """Both receivers, on free ports, in threads of their own."""
    received = Received()
    server = grpc.server(ThreadPoolExecutor(2, "otlp"))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Service(received), server)  # type: ignore[no-untyped-call]
    received.grpc = f"http://{host}:{server.add_insecure_port(f'{host}:0')}"
    web = ThreadingHTTPServer((host, 0), partial(_Post, received))
    received.http = f"http://{host}:{web.server_port}/v1/traces"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05}, name="otlp http", daemon=True)
    server.start()
    thread.start()
    try:
        yield received
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
        server.stop(None).wait()
