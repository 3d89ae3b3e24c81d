"""Spans of calls over gRPC: the names and attributes of OpenTelemetry's conventions, and ours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from inferloom.mesh.call import Call, Metadata
from inferloom.mesh.catalog import Kind as ReplicaKind
from inferloom.mesh.catalog import Replica
from inferloom.mesh.telemetry.tracing_context import onwards
from inferloom.mesh.telemetry.tracing_span import NOTHING, Kind, Nothing, Span, current

__all__ = ["ask", "asking", "rpc_attributes", "sent_with"]


ARM = "inferloom.arm"


def rpc_attributes(path: str) -> dict[str, Any]:
    """Of a call to "/package.Service/Method"."""
    service, method = _parts(path)
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def asking(above: Span, replica: Replica, call: Call) -> Span:
    """A client's span: one replica, one try."""
    span = above.child(call.method[1:], Kind.CLIENT)
    span.later(_attributes, replica, call, above.attributes.get(ARM))
    return span


def _attributes(replica: Replica, call: Call, arm: Any) -> dict[str, Any]:
    service, method = _parts(call.method)
    attributes: dict[str, Any] = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "server.address": replica.host,
        "server.port": replica.port,
        "inferloom.model": call.model,
        "inferloom.version": call.version or replica.default_version,
        "inferloom.replica": replica.id,
    }
    if arm is not None:
        attributes[ARM] = arm
    return attributes


def ask(replica: Replica, call: Call) -> Span | Nothing:
    """The same below the current span; nothing where there is none."""
    above = current.get()
    return NOTHING if above is None else asking(above, replica, call)


def sent_with(metadata: Metadata, span: Span | None, replica: Replica) -> Metadata:
    """What a replica is told of the trace.

    Triton traces whatever comes with a traceparent, and pays no attention to its sampled flag (2.51, with any rate): of
    requests that are not sampled it is told nothing.
    """
    if span is None:
        return metadata
    if not span.trace.sampled and replica.kind is ReplicaKind.MODEL:
        return onwards(metadata, "")
    return onwards(metadata, span.traceparent)


@lru_cache(maxsize=1024)
def _parts(path: str) -> tuple[str, str]:
    service, _, method = path[1:].rpartition("/")
    return service, method
