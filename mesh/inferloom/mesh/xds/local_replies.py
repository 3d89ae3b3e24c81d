"""What Envoy answers itself, in the codes and the form of the router.

Left alone Envoy tells gRPC callers UNAVAILABLE for a deadline and UNKNOWN for a body that is too large, and HTTP callers
plain text. Here a cause is found by Envoy's response flags or the HTTP status, and becomes a gRPC status, JSON of
google.rpc.Status, or {"error": ...} under /v2, as Triton writes it. What the Lua filter answers is in its final form already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    HeaderFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import DataSource, RuntimeUInt32, SubstitutionFormatString
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from grpc import StatusCode

from inferloom.mesh.errors import REASON_KEY
from inferloom.mesh.xds.messages import overwritten, packed, struct

__all__ = ["local_replies"]

SAID = "%LOCAL_REPLY_BODY%"
WHERE = "%UPSTREAM_CLUSTER%"
WHY = "%RESPONSE_FLAGS%: %RESPONSE_CODE_DETAILS%"
LUA = 'response.code_details == "lua_response"'


@dataclass(frozen=True, slots=True)
class _Cause:
    """Why Envoy answers itself, and what is answered."""

    code: StatusCode
    http: int
    text: str  # Envoy's format strings may be in it
    flags: tuple[str, ...] = ()  # any of these response flags ...
    status: int = 0  # ... or this HTTP status
    reason: str = ""  # of RESOURCE_EXHAUSTED


# In order: the first that fits. A try that was cut off sets flags of its own beside those of the end.
_CAUSES = (
    _Cause(StatusCode.RESOURCE_EXHAUSTED, 413, "the request is larger than the mesh takes", status=413, reason="size"),
    _Cause(
        StatusCode.DEADLINE_EXCEEDED,
        504,
        f"deadline exceeded while waiting for {WHERE} ({WHY})",
        flags=("UT", "SI", "DT", "UMSDR"),
    ),
    _Cause(
        StatusCode.UNAVAILABLE,
        503,
        f"{WHERE}: no answer from any server asked, last %UPSTREAM_HOST% ({WHY})",
        flags=("UF", "UC", "UR", "LR", "UPE"),
    ),
    _Cause(
        StatusCode.RESOURCE_EXHAUSTED,
        429,
        f"{WHERE}: more requests in flight than the policy's concurrency allows",
        flags=("UO",),
        reason="shed",
    ),
    _Cause(StatusCode.UNAVAILABLE, 503, f"{WHERE}: no replica may be asked now ({WHY})", flags=("UH", "NC", "NR")),
    _Cause(
        StatusCode.RESOURCE_EXHAUSTED, 503, "the edge is short of memory or connections", flags=("OM",), reason="shed"
    ),
)
# HTTP alone: what is wrong with the request itself. gRPC has Envoy's own mapping there.
_STATUSES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    405: StatusCode.UNIMPLEMENTED,
    408: StatusCode.DEADLINE_EXCEEDED,
    415: StatusCode.INVALID_ARGUMENT,
    426: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    431: StatusCode.RESOURCE_EXHAUSTED,
    500: StatusCode.INTERNAL,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}


def local_replies() -> LocalReplyConfig:
    mappers = [ResponseMapper(filter=_cel(LUA))]  # as it is
    for cause in _CAUSES:
        mappers += _mapped(cause)
    for status, code in _STATUSES.items():
        for filters, body in _http_forms(_number(code), SAID):
            mappers.append(ResponseMapper(filter=_all(_status(status), *filters), body_format_override=body))
    return LocalReplyConfig(mappers=mappers)


def _mapped(cause: _Cause) -> Iterator[ResponseMapper]:
    found = _status(cause.status) if cause.status else _flags(cause.flags)
    reason = [overwritten(REASON_KEY, cause.reason)] if cause.reason else []
    text = SubstitutionFormatString(text_format_source=DataSource(inline_string=cause.text))
    yield ResponseMapper(
        filter=_all(found, _grpc()),
        headers_to_add=[overwritten("grpc-status", str(_number(cause.code))), *reason],
        body_format_override=text,
    )
    for filters, body in _http_forms(_number(cause.code), cause.text):
        yield ResponseMapper(
            filter=_all(found, *filters), status_code=cause.http, headers_to_add=reason, body_format_override=body
        )


def _http_forms(code: int, text: str) -> Iterator[tuple[list[AccessLogFilter], SubstitutionFormatString]]:
    """Whom it is for, and how it is written."""
    rest = _request(":path", StringMatcher(prefix="/v2"))
    yield [_not_grpc(), rest], _json({"error": text})
    yield [_not_grpc()], _json({"code": code, "message": text, "details": []})


def _json(value: dict[str, Any]) -> SubstitutionFormatString:
    return SubstitutionFormatString(json_format=struct(value))


def _number(code: StatusCode) -> int:
    return int(code.value[0])


def _flags(flags: tuple[str, ...]) -> AccessLogFilter:
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def _status(status: int) -> AccessLogFilter:
    value = RuntimeUInt32(default_value=status, runtime_key="inferloom.local_replies.status")
    return AccessLogFilter(
        status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=ComparisonFilterOp.EQ, value=value))
    )


def _grpc() -> AccessLogFilter:
    return _request("content-type", StringMatcher(prefix="application/grpc"))


def _not_grpc() -> AccessLogFilter:
    return _request("content-type", StringMatcher(prefix="application/grpc"), invert=True)


def _request(name: str, matcher: StringMatcher, *, invert: bool = False) -> AccessLogFilter:
    header = HeaderMatcher(name=name, string_match=matcher, invert_match=invert, treat_missing_header_as_empty=True)
    return AccessLogFilter(header_filter=HeaderFilter(header=header))


def _cel(expression: str) -> AccessLogFilter:
    config = ExpressionFilter(expression=expression)
    name = "envoy.access_loggers.extension_filters.cel"
    return AccessLogFilter(extension_filter=ExtensionFilter(name=name, typed_config=packed(config)))


def _all(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))
