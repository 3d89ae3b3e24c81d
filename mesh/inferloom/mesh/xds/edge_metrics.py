"""What edges have counted, under the names by which routers tell the same, with `edge` added.

So every rule and panel that adds up a model's requests, slow answers, retries or requests under way has both: what a router
has answered, and what Envoy has sent to the replicas itself. A request is in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.telemetry.metrics_series import counter, gauge, histogram
from inferloom.mesh.xds.edge_reader import EdgeFigures
from inferloom.mesh.xds.types import MODEL_CLUSTERS, REST_CLUSTERS

__all__ = ["edge_metrics", "servers"]

REPLICA = ("edge", "model", "replica")
CLOSED, OPEN = str(BreakerState.CLOSED), str(BreakerState.OPEN)


def edge_metrics(edges: Mapping[str, EdgeFigures], catalog: Catalog) -> Iterable[Metric]:
    """Of every edge that is connected; models and replicas are those of the catalog."""
    models = catalog.models
    yield gauge(
        "inferloom_edge_up",
        "1 where the edge's figures can be read.",
        ("edge",),
        [((edge,), float(figures.up)) for edge, figures in edges.items() if figures.up is not None],
    )
    yield histogram(
        "inferloom_request_duration_seconds",
        "Requests that an edge sent to replicas itself, until the caller had the answer. kind stream: whole streams.",
        ("edge", "model", "version", "code", "kind"),
        [
            ((edge, *key), durations)
            for edge, figures in edges.items()
            for key, durations in figures.requests.requests.items()
            if key.model in models or key.model == UNKNOWN_MODEL
        ],
    )
    yield counter(
        "inferloom_objective_slow",
        "Answers of these without error that came later than the model's objective.",
        ("edge", "model"),
        [
            ((edge, model), count)
            for edge, figures in edges.items()
            for model, count in figures.requests.slow.items()
            if model in models
        ],
    )
    yield counter(
        "inferloom_retries",
        "Attempts of an edge after the first.",
        ("edge", "model"),
        _by_model({edge: figures.retries for edge, figures in edges.items()}, catalog),
    )
    yield counter(
        "inferloom_edge_retries_refused",
        "Retries that an edge has not made because the budget was spent.",
        ("edge", "model"),
        _by_model({edge: figures.refused for edge, figures in edges.items()}, catalog),
    )
    active: dict[tuple[str, str, str], float] = {}
    attempts: dict[tuple[str, str, str, str], float] = {}
    ejected: dict[tuple[str, str, str], bool] = {}
    for key, server in servers(edges, catalog):
        stats = {each["name"]: int(each.get("value", 0)) for each in server["stats"]}  # Envoy leaves out a value of 0
        active[key] = active.get(key, 0) + stats["rq_active"]
        for result, count in (("failed", stats["rq_error"]), ("answered", stats["rq_total"] - stats["rq_error"])):
            attempts[*key, result] = attempts.get((*key, result), 0) + count
        ejected[key] = ejected.get(key, False) or server.get("health_status", {}).get("failed_outlier_check", False)
    yield gauge("inferloom_replica_in_flight", "Requests of an edge under way at a replica.", REPLICA, active.items())
    yield gauge(
        "inferloom_replica_state",
        "1 for what an edge makes of a replica: closed, or open where its answers failed and it is passed over.",
        (*REPLICA, "state"),
        [((*key, state), float((state == OPEN) is out)) for key, out in ejected.items() for state in (CLOSED, OPEN)],
    )
    yield counter(
        "inferloom_edge_attempts",
        "Attempts of an edge at a replica: answered, or failed with a server's error or without an answer.",
        (*REPLICA, "result"),
        attempts.items(),
    )


def _by_model(counts: Mapping[str, Mapping[str, int]], catalog: Catalog) -> Iterable[tuple[tuple[str, str], int]]:
    """Of each edge: what its clusters have counted, added up."""
    found: dict[tuple[str, str], int] = {}
    for edge, clusters in counts.items():
        for cluster, count in clusters.items():
            if (model := _model(cluster)) in catalog.models:
                found[edge, model] = found.get((edge, model), 0) + count
    return found.items()


def servers(
    edges: Mapping[str, EdgeFigures], catalog: Catalog
) -> Iterator[tuple[tuple[str, str, str], Mapping[str, Any]]]:
    """(edge, model, replica) and what Envoy says of the server; the same replica stands in several clusters."""
    ids = {
        (name, replica.host, port): replica.id
        for name, model in catalog.models.items()
        for replica in model.replicas
        for port in (replica.port, replica.http_port)
    }
    for edge, figures in edges.items():
        for cluster in figures.clusters:
            model = _model(cluster["name"])
            for server in cluster.get("host_statuses", ()):
                at = server["address"].get("socket_address", {})
                replica = ids.get((model, at.get("address", ""), at.get("port_value", 0)))
                if replica is not None:
                    yield (edge, model, replica), server


def _model(cluster: str) -> str:
    """Whose replicas a cluster has; "": it is the router process's."""
    kind, _, target = cluster.partition("/")
    return target.partition("@")[0] if kind in (MODEL_CLUSTERS, REST_CLUSTERS) else ""
