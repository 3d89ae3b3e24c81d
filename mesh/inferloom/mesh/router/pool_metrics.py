"""Prometheus metrics of models and their replicas, as a router sees them: read off its pool when somebody asks.

Labels are the catalog's: what a replica has counted goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.admission import Admission
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.telemetry.metrics_series import counter, gauge, histogram

__all__ = ["pool_metrics"]

REPLICA = ("model", "replica")


def pool_metrics(pool: Pool, admission: Admission) -> Iterable[Metric]:
    """Of every model in the catalog."""
    groups = tuple(pool.groups.items())
    endpoints = [((name, e.replica.id), e) for name, group in groups for e in tuple(group.endpoints.values())]
    yield histogram(
        "inferloom_attempt_duration_seconds",
        "Attempts at a replica, by how they ended; CANCELLED: the caller went away.",
        (*REPLICA, "code"),
        (((*key, code), durations) for key, e in endpoints for code, durations in e.attempts.rows()),
    )
    yield counter(
        "inferloom_layer_seconds",
        "Time that requests spent in a layer of the router, less what was inside of it. "
        "retry: choosing a replica, and waits between attempts; attempt: the replica's answer.",
        ("model", "layer"),
        (((name, layer), seconds) for name, group in groups for layer, seconds in group.layers.rows()),
    )
    yield gauge(
        "inferloom_replica_in_flight",
        "Requests under way at a replica.",
        REPLICA,
        ((key, float(e.load.in_flight)) for key, e in endpoints),
    )
    yield gauge(
        "inferloom_replica_latency_seconds",
        "Moving average (peak EWMA) of a replica's answers.",
        REPLICA,
        ((key, e.load.seconds) for key, e in endpoints),
    )
    yield gauge(
        "inferloom_replica_state",
        "1 for the breaker's present state: closed, open or half-open.",
        (*REPLICA, "state"),
        (((*key, str(state)), float(e.health.state is state)) for key, e in endpoints for state in BreakerState),
    )
    yield gauge(
        "inferloom_replica_usable",
        "1 where the registry says that the replica serves.",
        REPLICA,
        ((key, float(e.replica.usable)) for key, e in endpoints),
    )
    yield gauge(
        "inferloom_replica_registered",
        "1 for what the registry says of a replica: starting, serving, draining, or unhealthy (its check fails).",
        (*REPLICA, "state"),
        (((*key, _said(e.replica)), 1.0) for key, e in endpoints),
    )
    yield gauge(
        "inferloom_retry_budget_tokens",
        "Retries the budget would pay for now.",
        ("model",),
        (((name,), group.budget.tokens) for name, group in groups),
    )
    yield gauge(
        "inferloom_retry_budget_most_tokens",
        "Retries that a full budget pays for.",
        ("model",),
        (((name,), group.budget.most) for name, group in groups),
    )
    yield gauge("inferloom_in_flight_bytes", "Bytes of requests under way.", (), [((), float(admission.bytes))])
    yield gauge("inferloom_in_flight_requests", "Requests under way.", (), [((), float(admission.requests))])
    yield counter(
        "inferloom_admission_refused",
        "Requests refused because too many bytes were in flight, or they were too large.",
        (),
        [((), admission.refused)],
    )


def _said(replica: Replica) -> str:
    return "unhealthy" if replica.state is State.SERVING and not replica.healthy else str(replica.state)
