"""The access log: one line of JSON for each request, on the edge's standard output."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLog,
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    GrpcStatusFilter,
    GrpcStatusFilterStatus,
    OrFilter,
    ResponseFlagFilter,
    RuntimeFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import RuntimeUInt32, SubstitutionFormatString
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType

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
    comparison = ComparisonFilter(
        op=ComparisonFilterOp.GE, value=RuntimeUInt32(default_value=500, runtime_key="inferloom.access_log.status")
    )
    status = GrpcStatusFilterStatus
    codes = [status.UNKNOWN, status.DEADLINE_EXCEEDED, status.RESOURCE_EXHAUSTED, status.INTERNAL, status.UNAVAILABLE]
    failed = OrFilter(
        filters=[
            AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=comparison)),
            AccessLogFilter(grpc_status_filter=GrpcStatusFilter(statuses=[*codes, status.DATA_LOSS])),
            AccessLogFilter(response_flag_filter=ResponseFlagFilter()),
        ]
    )
    whole = FractionalPercent(numerator=100, denominator=FractionalPercentDenominatorType.HUNDRED)
    share = RuntimeFilter(runtime_key=SHARE, percent_sampled=whole, use_independent_randomness=True)
    return AccessLogFilter(
        and_filter=AndFilter(filters=[AccessLogFilter(or_filter=failed), AccessLogFilter(runtime_filter=share)])
    )
