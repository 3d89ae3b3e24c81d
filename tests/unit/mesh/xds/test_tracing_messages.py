from __future__ import annotations

import pytest
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager

from inferloom.cli.control import otlp_address
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.tracing import COLLECTOR, collectors, sampled, traced

OFF = EdgeSettings()
ON = EdgeSettings(otlp="127.0.0.1:4317", trace_ratio=0.25)


def test_without_a_receiver_an_edge_is_as_it_was() -> None:
    assert bytes(traced(HttpConnectionManager(stat_prefix="edge"), OFF)) == bytes(
        HttpConnectionManager(stat_prefix="edge")
    )
    assert collectors(OFF) == {}


def test_with_one_its_spans_go_there_and_each_try_has_one() -> None:
    manager = traced(HttpConnectionManager(stat_prefix="edge"), ON)
    assert manager.tracing is not None
    assert manager.tracing.spawn_upstream_span
    assert b"inferloom-edge" in bytes(manager)
    (cluster,) = collectors(ON).values()
    assert cluster.name == COLLECTOR


def test_the_share_is_in_thousandths_and_whoever_asks_is_always_taken() -> None:
    def text(ratio: float) -> bytes:
        return bytes(sampled(ratio))

    assert b"x-inferloom-trace" in text(0.0)
    assert b"getMilliseconds" not in text(0.0)
    assert b"x-inferloom-trace" in text(0.25)
    assert text(0.25) != text(0.5)
    assert text(0.0001) == text(0.001)  # never none where some are wanted


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
