"""The access log: one line of JSON for each request, on the edge's standard output."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
)
from envoy_data_plane.envoy.config.core.v3 import SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog

from inferloom.mesh.xds.access_log_filters import all_of, any_of, flagged, grpc, http_status, share
from inferloom.mesh.xds.messages import packed, struct
from inferloom.mesh.xds.types import ARM_HEADER, FACE_HEADER, MODEL_HEADER, VERSION_HEADER

__all__ = ["SHARE", "access_log"]

SHARE = "inferloom.access_log.failures"  # runtime key: percent of the failures that are logged
FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "model": f"%REQ({MODEL_HEADER})%",
    "version": f"%REQ({VERSION_HEADER})%",
    "arm": f"%REQ({ARM_HEADER})%",
    "face": f"%REQ({FACE_HEADER})%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "replica": "%UPSTREAM_HOST%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "code": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
    "why": "%RESP(GRPC-MESSAGE)%%TRAILER(GRPC-MESSAGE)%",  # in one of them, percent-encoded as it was sent
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "caller": "%DOWNSTREAM_REMOTE_ADDRESS%",
}


def access_log(which: str) -> list[AccessLog]:
    """The log of an edge.

    Args:
        which: "failures" (answers that are the mesh's fault, and what Envoy answered itself), "all" or "off".
    """
    if which == "off":
        return []
    config = StdoutAccessLog(log_format=SubstitutionFormatString(json_format=struct(FIELDS), omit_empty_values=True))
    rule = _failures() if which == "failures" else None
    return [AccessLog(name="envoy.access_loggers.stdout", filter=rule, typed_config=packed(config))]


def _failures() -> AccessLogFilter:
    """A caller's own mistakes (INVALID_ARGUMENT, 404, ...) are no failures of the mesh; what it sheds is."""
    status = GrpcStatusFilterStatus
    codes = [status.UNKNOWN, status.DEADLINE_EXCEEDED, status.RESOURCE_EXHAUSTED, status.INTERNAL, status.UNAVAILABLE]
    failed = any_of(
        http_status(500, "inferloom.access_log.status"),
        grpc(GrpcStatusFilter(statuses=[*codes, status.DATA_LOSS])),
        flagged(),
    )
    return all_of(failed, share(SHARE))
