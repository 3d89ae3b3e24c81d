"""The yardstick: Envoy with one static route to Triton, the least that an Envoy hop may be."""

from __future__ import annotations

from typing import Any

from bench.paths import HOST

__all__ = ["bare"]

WINDOW = 1024 * 1024
CONNECTION = 16 * WINDOW
HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
FILTERS = "type.googleapis.com/envoy.extensions.filters"


def bare(port: int, triton: int) -> dict[str, Any]:
    """A bootstrap: every request goes to Triton's gRPC port, with the windows that inferloom's edge has."""
    windows = {"initial_stream_window_size": WINDOW, "initial_connection_window_size": CONNECTION}
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "AUTO",
        "stat_prefix": "bare",
        "http2_protocol_options": {"max_concurrent_streams": 1000, **windows},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "triton", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"},
            }
        ],
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "per_connection_buffer_limit_bytes": WINDOW,
                    "address": _address(port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "triton",
                    "connect_timeout": "1s",
                    "type": "STATIC",
                    "lb_policy": "LEAST_REQUEST",
                    "per_connection_buffer_limit_bytes": WINDOW,
                    "circuit_breakers": {"thresholds": [{"max_requests": 10000, "max_pending_requests": 10000}]},
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                            "@type": HTTP,
                            "explicit_http_config": {"http2_protocol_options": windows},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "triton",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(triton)}}]}],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": HOST, "port_value": port}}
