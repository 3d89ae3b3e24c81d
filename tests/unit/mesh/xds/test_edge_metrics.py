"""What edges have counted, told under the routers' names."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.xds.discovery import Node
from inferloom.mesh.xds.edge_metrics import edge_metrics
from inferloom.mesh.xds.edge_reader import EdgeFigures, EdgeReader
from inferloom.mesh.xds.edge_settings import ADMIN_KEY

CATALOG = Catalog.build(
    [
        Replica("iris", "a", "10.0.0.1", 8001, versions=("1",), http_port=8000),
        Replica("iris", "b", "10.0.0.2", 8001, versions=("1",)),
    ]
)


def server(host: str, port: int, *, out: bool = False, **counts: int) -> dict[str, Any]:
    """As Envoy's /clusters has it: what is 0 has no value."""
    names = ("rq_total", "rq_error", "rq_active")
    stats = [{"name": name, **({"value": str(counts[name])} if counts.get(name) else {})} for name in names]
    health = {"failed_outlier_check": True} if out else {}
    address = {"socket_address": {"address": host, "port_value": port}}
    return {"address": address, "stats": stats, "health_status": health}


def told(figures: EdgeFigures) -> dict[tuple[str, ...], float]:
    """Samples that are not 0: name and values of labels."""
    samples = [s for family in edge_metrics({"e": figures}, CATALOG) for s in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples if s.value}


def test_what_the_servers_of_a_models_clusters_do_is_its_replicas() -> None:
    figures = EdgeFigures()
    figures.clusters = (
        {"name": "model/iris", "host_statuses": [server("10.0.0.1", 8001, rq_total=9, rq_error=2, rq_active=3)]},
        {"name": "model/iris@1", "host_statuses": [server("10.0.0.2", 8001, out=True, rq_total=4, rq_error=4)]},
        {"name": "rest/iris", "host_statuses": [server("10.0.0.1", 8000, rq_total=1, rq_active=1)]},
        {"name": "model/gone", "host_statuses": [server("10.0.0.1", 8001, rq_total=7)]},
        {"name": "model/iris", "host_statuses": [server("10.0.0.9", 8001, rq_total=7)]},
        {"name": "mesh-router", "host_statuses": [server("10.0.0.5", 8081, rq_total=7)]},
    )
    assert told(figures) == {
        ("inferloom_replica_in_flight", "e", "iris", "a"): 4,
        ("inferloom_replica_state", "e", "iris", "a", "closed"): 1,
        ("inferloom_replica_state", "e", "iris", "b", "open"): 1,
        ("inferloom_edge_attempts_total", "e", "iris", "a", "answered"): 8,
        ("inferloom_edge_attempts_total", "e", "iris", "a", "failed"): 2,
        ("inferloom_edge_attempts_total", "e", "iris", "b", "failed"): 4,
    }


def test_retries_of_a_models_clusters_are_added_up_and_those_of_no_model_left_out() -> None:
    figures = EdgeFigures()
    figures.retries = {"model/iris": 2, "rest/iris": 1, "model/iris@1": 1, "model/gone": 5, "mesh-router": 5}
    figures.refused = {"model/iris": 3, "mesh-http": 5}
    assert told(figures) == {
        ("inferloom_retries_total", "e", "iris"): 4,
        ("inferloom_edge_retries_refused_total", "e", "iris"): 3,
    }


@pytest.mark.parametrize("address", ["10.0.0.1:9901", "", "nonsense"])
async def test_an_edge_is_asked_on_this_machine_alone(address: str) -> None:
    class Once:
        now, wall = SYSTEM.now, SYSTEM.wall

        async def sleep(self, seconds: float) -> None:
            raise InterruptedError  # once is enough

    reader = EdgeReader(lambda: [Node("e", metadata={ADMIN_KEY: address})], dict, Once())
    with capture_logs() as lines, pytest.raises(InterruptedError):
        await reader.run()
    assert [(line["node"], line["admin"]) for line in lines] == [("e", address)]
    assert not reader.edges["e"].up
