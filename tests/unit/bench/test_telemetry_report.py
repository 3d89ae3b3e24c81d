from __future__ import annotations

import pytest

from bench.telemetry.report import COMPARED, Run, TelemetryReport
from bench.telemetry.serve import EDGE, EDGE_TRACED, ROUTER, TRACED, TWIN, UNCOUNTED

TRACES, METRICS = "traces of 1 %, router", "metrics, router"


def report(what: str, **rates: list[float]) -> TelemetryReport:
    """Two runs of a way make a block, as they come."""
    runs = [
        Run(what, way, at // 2, 1000, rate, 1.0, 1e5 / rate)
        for way, of_runs in rates.items()
        for at, rate in enumerate(of_runs)
    ]
    return TelemetryReport(runs, {})


def test_what_it_takes_is_the_median_of_ratios_within_a_block() -> None:
    swings = report(TRACES, router=[990, 1010, 500, 500, 2000, 2000], traced=[950, 970, 480, 480, 1000, 1000])
    assert swings.taken(TRACES, "rate") == pytest.approx(0.04)
    assert swings.taken(TRACES, "cpu_us") == pytest.approx(1 / 0.96 - 1, abs=1e-3)


def test_metrics_are_held_against_a_router_that_counts_nothing() -> None:
    found = report(METRICS, router=[970, 980], uncounted=[1000, 1000])
    (target,) = found.targets()
    assert target.value == pytest.approx(2.5)
    assert (target.bound, target.met) == (3.0, True)


def test_what_was_not_measured_has_no_figure_and_no_target() -> None:
    found = report(TRACES)
    assert found.taken(METRICS, "rate") is None
    assert found.targets() == []


def test_a_bound_that_is_passed_is_missed() -> None:
    found = report("traces of 1 %, edge", **{EDGE: [1000.0, 1000.0], EDGE_TRACED: [940.0, 940.0]})
    (target,) = found.targets()
    assert not target.met


def test_everything_that_is_compared_is_a_way_that_is_served() -> None:
    served = {ROUTER, TWIN, TRACED, UNCOUNTED, EDGE, EDGE_TRACED}
    assert {way for with_it, without, _ in COMPARED.values() for way in (with_it, without)} == served
