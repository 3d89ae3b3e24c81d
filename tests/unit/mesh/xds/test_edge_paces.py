"""How fast models answer as edges see them: paces, rates, and what edges are told to log."""

from __future__ import annotations

import random
from typing import Any

import pytest

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.xds.edge_figures import EdgeFigures
from inferloom.mesh.xds.edge_lifetime import UPTIME, Lifetime, uptime
from inferloom.mesh.xds.edge_paces import EdgePaces
from inferloom.mesh.xds.request_figures import PREFIX, STAT, TAG
from inferloom.mesh.xds.types import NEVER, SLOW

CATALOG = Catalog.build([Replica(name, "a", "10.0.0.1", 8001, versions=("1",)) for name in ("fast", "slow")])
OK, BAD = "/200/0/-/model/", "/200/14/UH/model/"


def width(lower: int) -> float:
    """As Envoy's bins are."""
    return 0.0 if not lower else 0.1 if lower < 10 else 10.0 ** (len(str(lower)) - 2)


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
    """A control plane and one edge."""

    def __init__(self) -> None:
        self.clock = Moment()
        self.lifetime = Lifetime(self.clock.at)
        self.explainer = Explainer(self.clock, random.Random(1), "control")
        self.paces = EdgePaces(self.explainer, lambda: CATALOG)
        self.edges = {"e": EdgeFigures(self.clock.at)}

    def away(self) -> None:
        """Three seconds later: the edge is not connected."""
        self.clock.at += 3
        self.lifetime = Lifetime(self.clock.at)
        self.paces.settle({})

    def round(self, up: float | None = None, **counts: dict[int, int]) -> None:
        """Three seconds later: so many requests so far by the milliseconds they took, of a model."""
        self.clock.at += 3
        details = [
            {
                "name": f"{PREFIX}.{STAT}.{TAG}.{BAD if said.startswith('bad_') else OK}{said.removeprefix('bad_')}/",
                "totals": [{"lower_bound": at, "width": width(at), "count": count} for at, count in steps.items()],
            }
            for said, steps in counts.items()
        ]
        seconds = self.clock.at - 100 if up is None else up
        stats: list[dict[str, Any]] = [{"name": UPTIME, "value": seconds}, {"histograms": {"details": details}}]
        self.paces.read("e", stats, self.lifetime.judge(uptime(stats), self.clock.at))
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
    rig.round(up=3600, fast={1: 1000})
    assert "fast" not in rig.explainer.paces
    rig.round(up=3603, fast={1: 1005})
    assert rig.explainer.paces["fast"].count == 5
    rig.round(up=1, fast={1: 7})
    assert rig.explainer.paces["fast"].count == 12


def test_an_envoy_that_began_anew_and_has_counted_more_than_the_one_before_is_a_new_one() -> None:
    rig = Rig()
    rig.round(up=3, fast={1: 10})
    rig.round(up=1, fast={1: 25})
    assert rig.explainer.paces["fast"].count == 35
    rig.clock.at += 60  # its admin face was away meanwhile
    rig.round(up=40, fast={1: 30})
    assert rig.explainer.paces["fast"].count == 65


def test_an_edge_that_was_away_for_a_moment_is_not_counted_twice() -> None:
    rig = Rig()
    for _ in range(20):
        rig.round(fast={1: 1000})
    rig.away()
    rig.round(fast={1: 1010})
    assert rig.explainer.paces["fast"].count == 1000, "when the ten came nobody has seen"
    rig.round(fast={1: 1013})
    assert rig.explainer.paces["fast"].count == 1003


def test_a_model_that_was_gone_for_a_moment_is_not_counted_twice() -> None:
    catalog = CATALOG
    rig = Rig()
    rig.paces = EdgePaces(rig.explainer, lambda: catalog)
    rig.round(fast={1: 1000})
    catalog = Catalog.build([])
    rig.round(fast={1: 1000})
    catalog = CATALOG
    rig.round(fast={1: 1002})
    assert rig.explainer.paces["fast"].count == 1002


def test_a_model_that_answers_within_a_millisecond_is_not_told_as_slow() -> None:
    rig = Rig()
    rig.round(fast={0: 970, 1: 30})
    pace = rig.explainer.paces["fast"]
    assert 0.0008 < pace.quantile(0.5) <= 0.0011, "values are whole milliseconds, rounded down"
    assert rig.bound() == 3, "those that took from one to two milliseconds are more than a hundredth"
    assert pace.limit > 0.002


def test_whose_answers_are_known_is_known() -> None:
    rig = Rig()
    assert not rig.explainer.edges
    rig.round(fast={1: 1})
    assert rig.explainer.edges == {"e"}
    rig.away()
    assert not rig.explainer.edges


def test_a_rate_is_never_below_nothing() -> None:
    rig = Rig()
    rig.round(fast={1: 100})
    rig.explainer.paces.clear()
    rig.round(fast={1: 100}, slow={1: 1})
    rig.explainer.pace("fast")
    rig.round(fast={1: 101}, slow={1: 1})
    assert rig.paces.requests_a_second("fast") == 0


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
        names = ("rq_total", "rq_success", "rq_error", "rq_active")
        return {
            "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8001}},
            "stats": [{"name": name, "value": str(counts.get(name, 0))} for name in names],
            "health_status": {"failed_outlier_check": True},
        }

    def does(**counts: int) -> None:
        rig.edges["e"].read([], [{"name": "model/fast", "host_statuses": [server(**counts)]}], {}, rig.clock.at)

    does(rq_total=10, rq_active=2)
    rig.round()
    rig.round()
    does(rq_total=40, rq_error=6)
    rig.round()
    load = rig.paces.replicas["fast", "a"]
    assert (load.in_flight, load.attempts, load.failed, load.passed_over) == (0, {"e": 40}, 6, True)
    assert rig.paces.attempts_a_second("fast", "a") == pytest.approx(30 / 6)
    assert rig.paces.attempts_a_second("fast", "b") == 0
    first = rig.edges
    rig.edges = {}
    rig.away()
    rig.edges = {"other": EdgeFigures(rig.clock.at), **first}
    rig.edges["other"].read([], [{"name": "model/fast", "host_statuses": [server(rq_total=9000)]}], {}, rig.clock.at)
    for _ in range(3):
        rig.round()
        assert rig.paces.attempts_a_second("fast", "a") == 0, (
            "when an edge's attempts came that was away nobody has seen"
        )
