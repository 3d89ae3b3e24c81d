"""Which requests an access log takes: filters, and what they are put together from."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    DurationFilter,
    GrpcStatusFilter,
    HeaderFilter,
    OrFilter,
    ResponseFlagFilter,
    RuntimeFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import RuntimeUInt32
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType

__all__ = ["all_of", "any_of", "flagged", "grpc", "header", "http_status", "longer", "share"]

GRPC = StringMatcher(prefix="application/grpc")


def all_of(*filters: AccessLogFilter) -> AccessLogFilter:
    """Envoy stops at the first that fails: what most requests fail on goes first."""
    return AccessLogFilter(and_filter=AndFilter(filters=list(filters)))


def any_of(*filters: AccessLogFilter) -> AccessLogFilter:
    return AccessLogFilter(or_filter=OrFilter(filters=list(filters)))


def flagged(*flags: str) -> AccessLogFilter:
    """Response flags: one of these, or any."""
    return AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(flags)))


def http_status(least: int, key: str) -> AccessLogFilter:
    """The HTTP status or a higher one. `key`: of the runtime, by which it can be changed."""
    return AccessLogFilter(status_code_filter=StatusCodeFilter(comparison=_from(least, key)))


def longer(milliseconds: int, key: str) -> AccessLogFilter:
    """Requests that took as long or longer. `key` as of `http_status`."""
    return AccessLogFilter(duration_filter=DurationFilter(comparison=_from(milliseconds, key)))


def grpc(status: GrpcStatusFilter) -> AccessLogFilter:
    """Status of calls over gRPC. The filter alone takes an answer over HTTP with the status 200 as UNKNOWN."""
    return all_of(AccessLogFilter(grpc_status_filter=status), header("content-type", GRPC))


def header(name: str, value: StringMatcher, *, other: bool = False) -> AccessLogFilter:
    """A request's header. `other`: those that have it otherwise, or not at all."""
    matcher = HeaderMatcher(name=name, string_match=value, invert_match=other, treat_missing_header_as_empty=True)
    return AccessLogFilter(header_filter=HeaderFilter(header=matcher))


def share(key: str) -> AccessLogFilter:
    """All, or where the runtime has the key so many per cent."""
    whole = FractionalPercent(numerator=100, denominator=FractionalPercentDenominatorType.HUNDRED)
    return AccessLogFilter(
        runtime_filter=RuntimeFilter(runtime_key=key, percent_sampled=whole, use_independent_randomness=True)
    )


def _from(least: int, key: str) -> ComparisonFilter:
    return ComparisonFilter(op=ComparisonFilterOp.GE, value=RuntimeUInt32(default_value=least, runtime_key=key))
