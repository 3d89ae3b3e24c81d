from __future__ import annotations

import json
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from inferloom.cli.control import otlp_address
from inferloom.mesh.catalog import EMPTY
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.xds.default_routes import default_host
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.listener import listeners
from inferloom.mesh.xds.resources import Compiler
from inferloom.mesh.xds.traced_routes import picking_host
from inferloom.mesh.xds.tracing import COLLECTOR, collectors
from inferloom.mesh.xds.types import EDGE, LUA, TRACED, UNDECIDED, UNROUTED
from tests.support.static_edge import as_json, decoded_listener

OFF = EdgeSettings()
ALL = EdgeSettings(otlp="127.0.0.1:4317")
SHARE = EdgeSettings(otlp="127.0.0.1:4317", trace_ratio=0.25, access_log="all")
NONE = EdgeSettings(otlp="127.0.0.1:4317", trace_ratio=0.0)


def managers(settings: EdgeSettings) -> dict[str, dict[str, Any]]:
    """Each listener's connection manager."""
    return {name: as_json(decoded_listener(bytes(each))[1]) for name, each in listeners(settings).items()}


def picked(settings: EdgeSettings) -> list[dict[str, Any]]:
    """The routes of those that are picked: all before the usual ones."""
    usual = default_host(1)
    found: list[dict[str, Any]] = as_json(picking_host(usual, settings))["routes"]
    assert found[-len(usual.routes) :] == as_json(usual)["routes"]
    return found[: -len(usual.routes)]


def test_without_a_receiver_nothing_is_traced() -> None:
    (manager,) = managers(OFF).values()
    assert "tracing" not in manager
    assert collectors(OFF) == {}
    assert TRACED not in Compiler(OFF).compile(EMPTY, lambda model: TrafficPolicy(), {}).clusters


def test_with_a_receiver_its_spans_go_there_and_each_try_has_one() -> None:
    (manager,) = managers(ALL).values()
    assert manager["tracing"]["spawn_upstream_span"] is True
    assert b"inferloom-edge" in bytes(listeners(ALL)[EDGE])
    (cluster,) = collectors(ALL).values()
    assert cluster.name == COLLECTOR


@pytest.mark.parametrize("settings", [SHARE, NONE])
def test_where_some_are_traced_the_listener_that_callers_reach_traces_none(settings: EdgeSettings) -> None:
    front, behind = (managers(settings)[name] for name in (EDGE, TRACED))
    (plain,) = managers(EdgeSettings(access_log=settings.access_log)).values()
    assert {key for key in {*front, *plain} if front.get(key) != plain.get(key)} == {
        "access_log",
        "early_header_mutation_extensions",
    }
    assert front["early_header_mutation_extensions"] != plain["early_header_mutation_extensions"]
    assert len(front["access_log"]) == len(plain["access_log"])
    assert behind["tracing"] == managers(ALL)[EDGE]["tracing"]


def test_the_second_listener_serves_as_the_first_would() -> None:
    (whole,) = managers(EdgeSettings(otlp=ALL.otlp, access_log="all")).values()
    behind = managers(SHARE)[TRACED]
    assert {key for key in {*whole, *behind} if whole.get(key) != behind.get(key)} == {
        "stat_prefix",
        "use_remote_address",
        "max_request_headers_kb",
        "common_http_protocol_options",
        "http2_protocol_options",
    }
    assert behind["max_request_headers_kb"] > whole["max_request_headers_kb"]
    counts = [each["common_http_protocol_options"]["max_headers_count"] for each in (behind, whole)]
    assert counts[0] > counts[1]


def test_only_the_first_listener_picks() -> None:
    resources = Compiler(SHARE).compile(EMPTY, lambda model: TrafficPolicy(), {})
    hosts = [host.name for host in RouteConfiguration.parse(resources.routes[EDGE]).virtual_hosts]
    assert hosts == ["*", UNDECIDED]
    front, behind = (json.dumps(managers(SHARE)[name]["early_header_mutation_extensions"]) for name in (EDGE, TRACED))
    assert f'"value": "{UNDECIDED}"' in front
    assert f'"value": "{UNROUTED}"' in behind


def test_the_share_is_in_millionths_and_whoever_asks_is_always_taken() -> None:
    def numerators(ratio: float) -> list[int]:
        settings = EdgeSettings(otlp=ALL.otlp, trace_ratio=ratio)
        matches = [route["match"] for route in picked(settings)]
        assert ["x-inferloom-trace" in json.dumps(match) for match in matches[:2]] == [False, True]
        return [match["runtime_fraction"]["default_value"]["numerator"] for match in matches[2:]]

    assert numerators(0.0) == []
    assert numerators(0.25) == [250_000]
    assert numerators(1e-9) == [1]  # never none where some are wanted


def test_a_picked_request_goes_through_untouched_unbounded_and_once() -> None:
    for route in picked(SHARE):
        assert route["route"] == {
            "cluster": TRACED,
            "timeout": "0s",
            "idle_timeout": "0s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        }
        assert list(route["typed_per_filter_config"]) == [LUA]


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ("", "", ""),
        ("127.0.0.1:1", "http://jaeger:4317", "127.0.0.1:1"),
        ("", "http://jaeger:4317", "jaeger:4317"),
        ("off", "http://jaeger:4317", ""),
    ],
)
def test_edges_send_where_the_roles_do(
    monkeypatch: pytest.MonkeyPatch, given: str, environment: str, expected: str
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", environment)
    assert otlp_address(given) == expected


def test_a_receiver_behind_tls_and_a_wrong_ratio_are_refused() -> None:
    with pytest.raises(ConfigError, match="--otlp: https://jaeger:4317 needs TLS"):
        otlp_address("https://jaeger:4317")
    with pytest.raises(ConfigError, match="trace_ratio is 1"):
        EdgeSettings(trace_ratio=1.5)
    with pytest.raises(ConfigError, match="edge: otlp"):
        EdgeSettings(otlp="nowhere")
