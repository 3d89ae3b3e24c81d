"""What edges have counted, under the names by which routers tell the same, with `edge` added.

So every rule and panel that adds up a model's requests, slow answers, retries or requests under way has both: what a router
has answered, and what Envoy has sent to the replicas itself. A request is in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.telemetry.metrics_series import counter, gauge, histogram
from inferloom.mesh.xds.edge_figures import EdgeFigures, Load, Server

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
        _by_model({edge: figures.retries.values for edge, figures in edges.items()}, catalog),
    )
    yield counter(
        "inferloom_edge_retries_refused",
        "Retries that an edge has not made because the budget was spent.",
        ("edge", "model"),
        _by_model({edge: figures.refused.values for edge, figures in edges.items()}, catalog),
    )
    active: dict[tuple[str, str, str], float] = {}
    attempts: dict[tuple[str, str, str, str], float] = {}
    ejected: dict[tuple[str, str, str], bool] = {}
    for key, load in servers(edges, catalog):
        for result, count in (("failed", load.failed), ("answered", load.answered)):
            attempts[*key, result] = attempts.get((*key, result), 0) + count
        if edges[key[0]].up is not False:
            active[key] = active.get(key, 0) + load.in_flight
            ejected[key] = ejected.get(key, False) or load.passed_over
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
    """Of each edge: what it has counted of models that are there."""
    for edge, models in counts.items():
        yield from (((edge, model), count) for model, count in models.items() if model in catalog.models)


def servers(edges: Mapping[str, EdgeFigures], catalog: Catalog) -> Iterator[tuple[tuple[str, str, str], Load]]:
    """(edge, model, replica) and what the edge does with it; a replica has two ports."""
    ids = {
        Server(name, replica.host, port): replica.id
        for name, model in catalog.models.items()
        for replica in model.replicas
        for port in (replica.port, replica.http_port)
    }
    for edge, figures in edges.items():
        for server, load in figures.servers.items():
            if (replica := ids.get(server)) is not None:
                yield (edge, server.model, replica), load
