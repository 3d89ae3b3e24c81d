from __future__ import annotations

import pytest

from bench.telemetry.report import COMPARED, Run, TelemetryReport
from bench.telemetry.serve import EDGE, EDGE_TRACED, ROUTER, TRACED, TWIN, UNCOUNTED


def report(**rates: list[float]) -> TelemetryReport:
    runs = [
        Run(way, turn, 1000, rate, 1.0, 1e5 / rate)
        for way, of_turns in rates.items()
        for turn, rate in enumerate(of_turns)
    ]
    return TelemetryReport(runs, {})


def test_what_it_takes_is_the_median_of_ratios_within_a_turn() -> None:
    swings = report(router=[1000, 500, 2000], traced=[960, 480, 1000])
    assert swings.taken("traces of 1 %, router", "rate") == pytest.approx(0.04)
    assert swings.taken("traces of 1 %, router", "cpu_us") == pytest.approx(1 / 0.96 - 1)


def test_metrics_are_held_against_a_router_that_counts_nothing() -> None:
    found = report(router=[975], uncounted=[1000])
    (target,) = found.targets()
    assert target.value == pytest.approx(2.5)
    assert (target.bound, target.met) == (3.0, True)


def test_what_was_not_measured_has_no_figure_and_no_target() -> None:
    found = report(router=[1000])
    assert found.taken("metrics, router", "rate") is None
    assert found.targets() == []


def test_a_bound_that_is_passed_is_missed() -> None:
    found = report(**{EDGE: [1000.0], EDGE_TRACED: [940.0]})
    (target,) = found.targets()
    assert not target.met


def test_everything_that_is_compared_is_a_way_that_is_served() -> None:
    served = {ROUTER, TWIN, TRACED, UNCOUNTED, EDGE, EDGE_TRACED}
    assert {way for with_it, without, _ in COMPARED.values() for way in (with_it, without)} == served
