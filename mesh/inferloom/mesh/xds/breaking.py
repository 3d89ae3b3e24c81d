"""When an endpoint is ejected, and how many requests and retries a cluster takes.

Which answers count against a replica: UNAVAILABLE (503) and, over REST, 502 to 504. Envoy maps gRPC codes to HTTP ones, and
its `consecutive_5xx` counts INTERNAL and UNKNOWN (500), which one caller's poisonous input can draw from every replica, and
UNIMPLEMENTED (501), the answer to a wrong method. So `consecutive_gateway_failure` is enforced instead. An error matcher,
which could name codes, is not asked about gRPC (seen with 1.39.3), and the failure percentage counts every 5xx.
RESOURCE_EXHAUSTED (429) and CANCELLED (499) never count.

A deadline that passes is Envoy's own time-out, since its timer starts before the replica's: the caller's is a stream
duration, which is nobody's failure; `attempt_timeout` is a failure of local origin, as is a refused or broken connection,
and those are counted by themselves. A DEADLINE_EXCEEDED (504) that a replica answers of its own accord does count.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
    OutlierDetection,
)

from inferloom.mesh.policy import Breaking, Retrying
from inferloom.mesh.xds.messages import duration, percent

__all__ = ["NO_BOUND", "circuit_breakers", "outlier_detection"]

NO_BOUND = (1 << 32) - 1
LARGEST_SHARE = 99  # percent that may be out
ALWAYS, NEVER = 100, 0


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
        consecutive_gateway_failure=health.consecutive,
        enforcing_consecutive_gateway_failure=ALWAYS,
        enforcing_consecutive_5xx=NEVER,
        consecutive_local_origin_failure=health.consecutive,
        enforcing_consecutive_local_origin_failure=ALWAYS,
        enforcing_success_rate=NEVER,  # compares replicas with each other, which two cannot bear
        enforcing_local_origin_success_rate=NEVER,
        failure_percentage_threshold=max(1, round(100 * health.rate)),
        failure_percentage_minimum_hosts=2,
        failure_percentage_request_volume=health.rate_requests,
        enforcing_failure_percentage=NEVER,
        enforcing_failure_percentage_local_origin=ALWAYS,
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
