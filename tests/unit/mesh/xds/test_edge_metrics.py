"""What edges have counted, told under the routers' names."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.xds.edge_figures import EdgeFigures
from inferloom.mesh.xds.edge_lifetime import UPTIME
from inferloom.mesh.xds.edge_metrics import edge_metrics

CATALOG = Catalog.build(
    [
        Replica("iris", "a", "10.0.0.1", 8001, versions=("1",), http_port=8000),
        Replica("iris", "b", "10.0.0.2", 8001, versions=("1",)),
    ]
)


ANSWERED = ("inferloom_edge_attempts_total", "e", "iris", "a", "answered")
RETRIES, REFUSED = ("inferloom_retries_total", "e", "iris"), ("inferloom_edge_retries_refused_total", "e", "iris")


def server(host: str, port: int, *, out: bool = False, **counts: int) -> dict[str, Any]:
    """As Envoy's /clusters has it: what is 0 has no value."""
    names = ("rq_total", "rq_success", "rq_error", "rq_active")
    stats = [{"name": name, **({"value": str(counts[name])} if counts.get(name) else {})} for name in names]
    health = {"failed_outlier_check": True} if out else {}
    address = {"socket_address": {"address": host, "port_value": port}}
    return {"address": address, "stats": stats, "health_status": health}


def cluster(name: str, *, out: bool = False, **counts: int) -> dict[str, Any]:
    """Of replica a alone."""
    return {"name": name, "host_statuses": [server("10.0.0.1", 8001, out=out, **counts)]}


def retried(cluster: str, made: int, refused: int = 0) -> list[dict[str, Any]]:
    """As Envoy's /stats has it."""
    name = f"cluster.{cluster}.upstream_rq_retry"
    return [{"name": name, "value": made}, {"name": f"{name}_overflow", "value": refused}]


class Edge:
    """Is read every three seconds."""

    def __init__(self) -> None:
        self.figures = EdgeFigures(0)
        self.now = 0

    def read(self, *clusters: dict[str, Any], up: int | None = None, stats: list[dict[str, Any]] | None = None) -> None:
        self.now += 3
        seconds = {"name": UPTIME, "value": self.now if up is None else up}
        self.figures.read([seconds, *(stats or ())], clusters, {}, self.now)


def told(figures: EdgeFigures) -> dict[tuple[str, ...], float]:
    """Samples that are not 0: name and values of labels."""
    samples = [s for family in edge_metrics({"e": figures}, CATALOG) for s in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples if s.value}


def test_what_the_servers_of_a_models_clusters_do_is_its_replicas() -> None:
    edge = Edge()
    first = server("10.0.0.1", 8001, rq_total=9, rq_success=4, rq_error=2, rq_active=3)
    edge.read(
        {"name": "model/iris", "host_statuses": [first]},
        {"name": "model/iris@1", "host_statuses": [server("10.0.0.2", 8001, out=True, rq_total=4, rq_error=4)]},
        {"name": "rest/iris", "host_statuses": [server("10.0.0.1", 8000, rq_total=2, rq_success=1, rq_active=1)]},
        {"name": "model/gone", "host_statuses": [server("10.0.0.1", 8001, rq_total=7)]},
        {"name": "model/iris@2", "host_statuses": [server("10.0.0.9", 8001, rq_total=7)]},
        {"name": "mesh-router", "host_statuses": [server("10.0.0.5", 8081, rq_total=7)]},
    )
    assert told(edge.figures) == {
        ("inferloom_replica_in_flight", "e", "iris", "a"): 4,
        ("inferloom_replica_state", "e", "iris", "a", "closed"): 1,
        ("inferloom_replica_state", "e", "iris", "b", "open"): 1,
        ("inferloom_edge_attempts_total", "e", "iris", "a", "answered"): 5,
        ("inferloom_edge_attempts_total", "e", "iris", "a", "failed"): 2,
        ("inferloom_edge_attempts_total", "e", "iris", "b", "failed"): 4,
    }


def test_refused_connections_and_requests_under_way_take_nothing_from_what_was_answered() -> None:
    edge = Edge()
    edge.read(cluster("model/iris", rq_total=5, rq_success=5))
    edge.read(cluster("model/iris", rq_total=6, rq_success=5, rq_error=9, rq_active=1))
    assert told(edge.figures)[ANSWERED] == 5


def test_what_a_version_has_counted_stays_when_its_cluster_goes() -> None:
    edge = Edge()
    both = retried("model/iris", 2, 1) + retried("model/iris@1", 5, 3)
    edge.read(cluster("model/iris", rq_success=10), cluster("model/iris@1", rq_success=7), stats=both)
    edge.read(cluster("model/iris", rq_success=11), stats=retried("model/iris", 3, 1))
    counted = told(edge.figures)
    assert (counted[ANSWERED], counted[RETRIES], counted[REFUSED]) == (18, 8, 4)
    edge.read(cluster("model/iris", rq_success=11), cluster("model/iris@1", rq_success=2), stats=both[:2])
    assert told(edge.figures)[ANSWERED] == 20, "the cluster is a new one"


def test_what_an_envoy_counted_stays_when_another_one_takes_its_place() -> None:
    edge = Edge()
    edge.read(cluster("model/iris", rq_success=10))
    edge.read(cluster("model/iris", rq_success=30), up=1)
    assert told(edge.figures)[ANSWERED] == 40


def test_of_a_server_that_is_in_no_cluster_nothing_is_kept() -> None:
    edge = Edge()
    edge.read(cluster("model/iris", rq_success=10))
    edge.read()
    assert not edge.figures.servers
    assert told(edge.figures) == {}


def test_of_an_edge_that_cannot_be_read_nothing_is_told_of_now() -> None:
    edge = Edge()
    edge.read(cluster("model/iris", out=True, rq_success=10, rq_active=4))
    edge.figures.lose()
    assert told(edge.figures) == {ANSWERED: 10}
    names = {s.name for family in edge_metrics({"e": edge.figures}, CATALOG) for s in family.samples}
    assert "inferloom_edge_up" in names
    assert names.isdisjoint({"inferloom_replica_state", "inferloom_replica_in_flight"})


def test_retries_of_a_models_clusters_are_added_up_and_those_of_no_model_left_out() -> None:
    edge = Edge()
    counts = {"model/iris": (2, 3), "rest/iris": (1, 0), "model/iris@1": (1, 0), "model/gone": (5, 0)}
    others = {"mesh-router": (5, 0), "mesh-http": (0, 5)}
    edge.read(stats=[each for name, (made, no) in {**counts, **others}.items() for each in retried(name, made, no)])
    assert told(edge.figures) == {RETRIES: 4, REFUSED: 3}
