"""How fast models answer as edges see them: paces, rates, and what edges are told to log."""

from __future__ import annotations

import random
from typing import Any

import pytest

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.xds.edge_paces import EdgePaces
from inferloom.mesh.xds.edge_reader import UPTIME, EdgeFigures
from inferloom.mesh.xds.request_figures import PREFIX, STAT, TAG
from inferloom.mesh.xds.types import NEVER, SLOW

CATALOG = Catalog.build([Replica(name, "a", "10.0.0.1", 8001, versions=("1",)) for name in ("fast", "slow")])
OK, BAD = "/200/0/-/model/", "/200/14/UH/model/"


class Moment:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Rig:
    def __init__(self) -> None:
        self.clock = Moment()
        self.explainer = Explainer(self.clock, random.Random(1), "control")
        self.paces = EdgePaces(self.explainer, lambda: CATALOG)
        self.edges = {"e": EdgeFigures()}

    def round(self, uptime: float = 1.0, **counts: dict[int, int]) -> None:
        """Three seconds later: so many requests so far by the milliseconds they took, of a model."""
        self.clock.at += 3
        details = [
            {
                "name": f"{PREFIX}.{STAT}.{TAG}.{BAD if said.startswith('bad_') else OK}{said.removeprefix('bad_')}/",
                "totals": [{"lower_bound": at, "width": 1, "count": count} for at, count in steps.items()],
            }
            for said, steps in counts.items()
        ]
        stats: list[dict[str, Any]] = [{"name": UPTIME, "value": uptime}, {"histograms": {"details": details}}]
        self.paces.read("e", stats)
        self.paces.settle(self.edges)

    def bound(self, **objectives: float) -> int:
        return int(self.paces.runtime(objectives)[SLOW])


def test_what_came_since_the_last_reading_is_added() -> None:
    rig = Rig()
    rig.round(fast={1: 40}, bad_fast={0: 3})
    rig.round(fast={1: 90, 2: 10}, bad_fast={0: 4})
    pace = rig.explainer.paces["fast"]
    assert (pace.count, pace.failed) == (104, 4)
    assert 0.001 < pace.quantile(0.5) < 0.0025
    assert "gone" not in rig.explainer.paces


def test_a_rate_is_of_the_last_readings_together() -> None:
    rig = Rig()
    for count in (20, 60, 80, 120):  # Envoy's threads are merged every two seconds, and read every three
        rig.round(fast={1: count})
    assert rig.paces.requests_a_second("fast") == pytest.approx(60 / 6)
    assert rig.paces.requests_a_second("slow") == 0


def test_what_an_envoy_had_counted_before_is_not_of_now_and_an_envoy_that_began_anew_counts_from_nothing() -> None:
    rig = Rig()
    rig.round(uptime=3600, fast={1: 1000})
    assert "fast" not in rig.explainer.paces
    rig.round(uptime=3603, fast={1: 1005})
    assert rig.explainer.paces["fast"].count == 5
    rig.round(uptime=1, fast={1: 7})
    assert rig.explainer.paces["fast"].count == 12


def test_streams_and_models_that_are_gone_have_no_pace() -> None:
    rig = Rig()
    rig.round(gone={1: 5})
    assert not rig.explainer.paces


def test_edges_log_what_is_slow_for_the_fastest_model_or_misses_the_closest_objective() -> None:
    rig = Rig()
    assert rig.bound() == NEVER
    assert rig.bound(fast=0.5, slow=2.0) == 500
    rig.round(fast={4: 198, 80: 2}, slow={700: 50})
    assert 5 <= rig.bound() <= 7, "above the 99th percentile of the one that is known well enough"
    assert rig.bound(slow=0.003) == 3


def test_under_load_the_bound_is_such_that_few_answers_are_above_it() -> None:
    rig = Rig()
    rig.round(fast={4: 198, 80: 2}, slow={700: 9000})
    assert 700 < rig.bound() < 1000, "not each of the slow model's 9000"


def test_what_edges_do_with_a_replica_is_added_up() -> None:
    rig = Rig()

    def server(**counts: int) -> dict[str, Any]:
        names = ("rq_total", "rq_error", "rq_active")
        return {
            "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8001}},
            "stats": [{"name": name, "value": str(counts.get(name, 0))} for name in names],
            "health_status": {"failed_outlier_check": True},
        }

    rig.edges["e"].clusters = ({"name": "model/fast", "host_statuses": [server(rq_total=10, rq_active=2)]},)
    rig.round()
    rig.round()
    rig.edges["e"].clusters = ({"name": "model/fast", "host_statuses": [server(rq_total=40, rq_error=6)]},)
    rig.round()
    load = rig.paces.replicas["fast", "a"]
    assert (load.in_flight, load.attempts, load.failed, load.passed_over) == (0, 40, 6, True)
    assert rig.paces.attempts_a_second("fast", "a") == pytest.approx(30 / 6)
    assert rig.paces.attempts_a_second("fast", "b") == 0
