"""When an endpoint is ejected, and how many requests and retries a cluster takes.

Which answers count against a replica is what the router counts (`mesh/call.py`, `verdict`): UNAVAILABLE, INTERNAL, UNKNOWN
and DATA_LOSS. Envoy alone maps gRPC codes to HTTP and counts every 5xx: DEADLINE_EXCEEDED (504) as well, so that a caller
in a hurry would eject healthy replicas, and UNIMPLEMENTED (501), so that a caller of a wrong method would. Hence the error
matcher, which sees the code of answers that consist of trailers alone, as failed unary calls do. RESOURCE_EXHAUSTED (429)
and CANCELLED (499) never counted.

Envoy's own time-outs are no answers: the caller's deadline is a stream duration, which is nobody's failure; `attempt_timeout`
is a failure of the replica, of local origin like a refused connection, and local origin is counted by itself.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.common.matcher.v3 import HttpHeadersMatch, MatchPredicate, MatchPredicateMatchSet
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptionsOutlierDetection
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from inferloom.mesh.policy import Breaking, Retrying
from inferloom.mesh.xds.messages import duration, percent

__all__ = ["NO_BOUND", "circuit_breakers", "errors", "outlier_detection"]

NO_BOUND = (1 << 32) - 1
LARGEST_SHARE = 99  # percent that may be out
ALWAYS, NEVER = 100, 0
FAILED_GRPC = "2|13|14|15"  # UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS
FAILED_HTTP = "500|502|503"


def outlier_detection(health: Breaking) -> OutlierDetection:
    """Ejection of endpoints by `policy.health`.

    The share that may be out is checked after an ejection: with 99 % one always stays, of 2 as of 100, and a lone replica is
    never ejected; a number that followed the count of replicas would make Envoy build the cluster anew with every replica.
    """
    return OutlierDetection(
        # Ejections end, and shares of failures are judged, at the end of an interval.
        interval=duration(min(health.window, health.base)),
        base_ejection_time=duration(health.base),
        max_ejection_time=duration(health.longest),
        max_ejection_time_jitter=duration(health.base * health.jitter),
        max_ejection_percent=LARGEST_SHARE,
        split_external_local_origin_errors=True,
        consecutive_5xx=health.consecutive,
        enforcing_consecutive_5xx=ALWAYS,
        consecutive_local_origin_failure=health.consecutive,
        enforcing_consecutive_local_origin_failure=ALWAYS,
        enforcing_consecutive_gateway_failure=NEVER,
        enforcing_success_rate=NEVER,  # compares replicas with each other, which two cannot bear
        enforcing_local_origin_success_rate=NEVER,
        failure_percentage_threshold=round(100 * health.rate),
        failure_percentage_minimum_hosts=2,
        failure_percentage_request_volume=health.rate_requests,
        enforcing_failure_percentage=ALWAYS,
        enforcing_failure_percentage_local_origin=ALWAYS,
    )


def errors() -> HttpProtocolOptionsOutlierDetection:
    """Which answers count as failures of the replica."""
    failed = [_header("grpc-status", FAILED_GRPC), _header(":status", FAILED_HTTP)]
    return HttpProtocolOptionsOutlierDetection(
        error_matcher=MatchPredicate(or_match=MatchPredicateMatchSet(rules=failed))
    )


def circuit_breakers(concurrency: int, retry: Retrying) -> CircuitBreakers:
    """Bounds of a cluster, in each Envoy.

    Retries in flight are bounded by their budget, a share of the requests in flight; the least it allows is the router's
    full bucket, since when a replica dies everything it had in hand wants a retry at the same moment.
    """
    budget = CircuitBreakersThresholdsRetryBudget(
        budget_percent=percent(retry.budget_ratio),
        min_retry_concurrency=min(max(1, round(retry.budget_floor * retry.budget_window)), NO_BOUND),
    )
    bound = min(concurrency, NO_BOUND) or NO_BOUND
    thresholds = CircuitBreakersThresholds(
        max_requests=bound,
        max_pending_requests=bound,  # those that wait for a connection
        max_connections=NO_BOUND,
        retry_budget=budget,
    )
    return CircuitBreakers(thresholds=[thresholds])


def _header(name: str, values: str) -> MatchPredicate:
    matcher = HeaderMatcher(name=name, string_match=StringMatcher(safe_regex=RegexMatcher(regex=values)))
    return MatchPredicate(http_response_headers_match=HttpHeadersMatch(headers=[matcher]))
