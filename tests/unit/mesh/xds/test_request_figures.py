"""What Envoy has counted, judged as a router judges; Envoy's figures are written by hand as its /stats gives them."""

from __future__ import annotations

from typing import Any

import pytest

from inferloom.mesh.xds.edge_lifetime import Counted
from inferloom.mesh.xds.request_figures import PREFIX, STAT, TAG, RequestFigures, Requests, requests_of

Steps = dict[int, int]  # from so many milliseconds on: how many


def histogram(said: str, steps: Steps) -> dict[str, Any]:
    widths = {lower: 0.1 if lower < 10 else 10 ** (len(str(lower)) - 2) for lower in steps}
    totals = [{"lower_bound": lower, "width": widths[lower], "count": count} for lower, count in steps.items()]
    return {"name": f"{PREFIX}.{STAT}.{TAG}.{said}", "totals": totals}


def stats(**histograms: Steps) -> list[dict[str, Any]]:
    return [{"histograms": {"details": [histogram(said, steps) for said, steps in histograms.items()]}}]


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("/200/0/-/model/iris/", Requests("iris", "", "OK", "")),
        ("/200/0/-/model/iris@2/-", Requests("iris", "2", "OK", "")),
        ("/200/0/-/model/a.b-c@1.0/wine", Requests("wine", "", "OK", "")),
        ("stream/200/0/-/model/iris/", Requests("iris", "", "OK", "stream")),
        ("/200/3/-/model/iris/", Requests("iris", "", "INVALID_ARGUMENT", "")),
        ("/200/2/-/model/iris/", Requests("iris", "", "UNKNOWN", "")),
        ("/200/14/UF,URX/model/iris/", Requests("iris", "", "UNAVAILABLE", "")),
        ("/200/99/-/model/iris/", Requests("iris", "", "UNKNOWN", "")),
        ("/0/2/DC/model/iris/", Requests("iris", "", "CANCELLED", "")),
        ("/200/2/DR/model/iris/", Requests("iris", "", "CANCELLED", "")),
        ("/200/0/DC/model/iris/", Requests("iris", "", "OK", "")),
        ("/200/-/-/rest/iris/", Requests("iris", "", "OK", "")),
        ("/400/-/-/rest/iris/", Requests("iris", "", "INVALID_ARGUMENT", "")),
        ("/500/-/-/rest/iris/", Requests("iris", "", "INTERNAL", "")),
        ("/504/14/UT/rest/iris/", Requests("iris", "", "DEADLINE_EXCEEDED", "")),
        ("/0/-/DC/rest/iris/", Requests("iris", "", "CANCELLED", "")),
        ("/200/0/-/mesh-router/", None),
        ("/200/14/-/mesh-router/", None),
        ("/200/14/UF,URX/mesh-router/", Requests("(unknown)", "", "UNAVAILABLE", "")),
        ("/503/-/OM//", Requests("(unknown)", "", "UNAVAILABLE", "")),
        ("/413/-/-/mesh-http/", None),
    ],
)
def test_how_requests_of_an_edge_are_counted(said: str, counted: Requests | None) -> None:
    assert requests_of(f"{PREFIX}.{STAT}.{TAG}.{said}") == counted


def test_milliseconds_rounded_down_fall_into_the_routers_buckets() -> None:
    figures = RequestFigures()
    figures.read(stats(**{"/200/0/-/model/iris/": {0: 5, 4: 3, 5: 2, 99: 1, 100: 4}}), {}, Counted.ANEW)
    (durations,) = figures.requests.values()
    under = {bound: sum(durations.buckets[: at + 1]) for at, bound in enumerate(durations.bounds)}
    assert (under[0.001], under[0.005], under[0.01], under[0.1], under[0.25]) == (5, 8, 10, 11, 15)
    assert durations.count == 15
    assert durations.seconds == pytest.approx(5 * 0.0005 + 3 * 0.0045 + 2 * 0.0055 + 0.0995 + 4 * 0.105)


def test_what_is_split_over_a_models_clusters_is_one_models() -> None:
    figures = RequestFigures()
    figures.read(stats(**{"/200/0/-/model/iris/": {1: 1}, "/200/-/-/rest/iris/": {1: 2}}), {}, Counted.ANEW)
    assert {key: each.count for key, each in figures.requests.items()} == {Requests("iris", "", "OK", ""): 3}


def test_answers_are_late_that_came_after_the_objective_that_held_when_they_came() -> None:
    figures = RequestFigures()
    name = "/200/0/-/model/iris/"
    figures.read(stats(**{name: {50: 10, 100: 2, 300: 1}}), {"iris": 0.1}, Counted.ANEW)
    assert figures.slow == {"iris": 3}
    figures.read(stats(**{name: {50: 10, 100: 4, 300: 1}}), {"iris": 0.1}, Counted.ON)
    assert figures.slow == {"iris": 5}
    figures.read(
        stats(**{name: {50: 20, 100: 4, 300: 1}}), {"iris": 0.02}, Counted.ON
    )  # a new objective judges what comes now
    assert figures.slow == {"iris": 5}
    figures.read(stats(**{name: {50: 22, 100: 4, 300: 1}}), {"iris": 0.02}, Counted.ON)
    assert figures.slow == {"iris": 7}
    figures.read(stats(**{name: {50: 3}}), {"iris": 0.02}, Counted.ANEW)  # another Envoy, begun anew
    assert figures.slow == {"iris": 10}
    figures.read(stats(**{name: {50: 3}}), {}, Counted.ON)
    assert figures.slow == {}


def test_what_an_envoy_counted_before_this_process_knew_it_is_not_late_now() -> None:
    figures = RequestFigures()
    name = "/200/0/-/model/iris/"
    figures.read(stats(**{name: {50: 10, 300: 900}}), {"iris": 0.1}, Counted.BEFORE)
    assert figures.slow == {"iris": 0}
    figures.read(stats(**{name: {50: 10, 300: 902}}), {"iris": 0.1}, Counted.ON)
    assert figures.slow == {"iris": 2}


def test_an_envoy_that_began_anew_is_told_by_its_uptime_and_not_by_what_it_has_counted() -> None:
    figures = RequestFigures()
    name = "/200/0/-/model/iris/"
    figures.read(stats(**{name: {300: 2}}), {"iris": 0.1}, Counted.ANEW)
    figures.read(stats(**{name: {300: 5}}), {"iris": 0.1}, Counted.ANEW)
    assert figures.slow == {"iris": 7}


def test_an_objective_that_is_back_judges_what_comes_from_now_on() -> None:
    figures = RequestFigures()
    name = "/200/0/-/model/iris/"
    figures.read(stats(**{name: {300: 2}}), {"iris": 0.1}, Counted.ANEW)
    figures.read(stats(**{name: {300: 50}}), {}, Counted.ON)
    figures.read(stats(**{name: {300: 60}}), {"iris": 0.1}, Counted.ON)
    assert figures.slow == {"iris": 0}
    figures.read(stats(**{name: {300: 61}}), {"iris": 0.1}, Counted.ON)
    assert figures.slow == {"iris": 1}


def test_failures_and_streams_are_not_late() -> None:
    figures = RequestFigures()
    figures.read(
        stats(**{"/200/4/-/model/iris/": {900: 5}, "stream/200/0/-/model/iris/": {90000: 5}}),
        {"iris": 0.1},
        Counted.ANEW,
    )
    assert figures.slow == {"iris": 0}


def test_other_statistics_are_none_of_its_business() -> None:
    figures = RequestFigures()
    figures.read([{"name": "cluster.model/iris.upstream_rq_retry", "value": 4}], {"iris": 0.1}, Counted.ANEW)
    assert figures.requests == {}
