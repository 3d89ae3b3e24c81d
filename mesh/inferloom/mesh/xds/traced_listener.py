"""The second listener of an edge, for requests that are traced: no port, only the edge's own first listener reaches it.

It serves a request from the beginning: the same filters and routes, time-outs, access logs and figures. The first listener
passes it on as it came, over the caller's protocol, and says nothing of it but where it could not.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    EnvoyInternalAddress,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    FilterChain,
    Listener,
    ListenerDrainType,
    ListenerInternalListenerConfig,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions as UpstreamOptions
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptionsUseDownstreamHttpConfig
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.xds import hardening
from inferloom.mesh.xds.access_log_filters import all_of, any_of, flagged, header
from inferloom.mesh.xds.breaking import circuit_breakers
from inferloom.mesh.xds.clusters import IDLE, OPTIONS
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.messages import OFF, duration, packed
from inferloom.mesh.xds.tracing import traced
from inferloom.mesh.xds.types import MODEL_HEADER, TRACED, TRACED_MODEL

__all__ = ["behind", "in_front", "traced_cluster", "traced_listener"]

CONNECT = 1.0  # seconds
MORE_HEADERS = 20  # that the first listener adds to a request, at most
MORE_KIB = 4
ANSWER_KIB = 8192  # of an answer's headers: the most that Envoy takes; replicas' answers were bounded before
UNREACHED = ("UF", "UO", "UH", "NC")  # response flags of a request that has not come to the second listener


def traced_listener(chain: FilterChain) -> Listener:
    """Of the filter chain that `behind` is in. It goes on while the first one drains, whose requests it serves."""
    return Listener(
        name=TRACED,
        internal_listener=ListenerInternalListenerConfig(),
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=hardening.CONNECTION_BUFFER,
        drain_type=ListenerDrainType.MODIFY_ONLY,
        ignore_global_conn_limit=True,
    )


def behind(manager: HttpConnectionManager, settings: EdgeSettings) -> HttpConnectionManager:
    """The connection manager of the second listener, of one as callers reach it."""
    manager = traced(manager, settings)
    manager.stat_prefix = TRACED
    manager.use_remote_address = False  # who calls stands in x-forwarded-for, written by the first one
    manager.max_request_headers_kb = hardening.MAX_HEADERS_KIB + MORE_KIB
    common = manager.common_http_protocol_options
    assert common is not None
    common.max_headers_count = hardening.MAX_HEADERS + MORE_HEADERS
    common.idle_timeout = OFF
    assert manager.http2_protocol_options is not None
    manager.http2_protocol_options.connection_keepalive = None  # nothing lies between
    return manager


def in_front(manager: HttpConnectionManager) -> HttpConnectionManager:
    """The connection manager of the first listener: it tells nothing of requests that the second has told of."""
    own = any_of(header(MODEL_HEADER, StringMatcher(exact=TRACED_MODEL), other=True), flagged(*UNREACHED))
    for log in manager.access_log:
        log.filter = all_of(log.filter, own) if log.filter is not None else own
    return manager


def traced_cluster() -> Cluster:
    """The way from the first listener to the second: a caller's HTTP/1.1 stays it, for WebSockets."""
    own = HttpProtocolOptionsUseDownstreamHttpConfig(
        http_protocol_options=Http1ProtocolOptions(),
        http2_protocol_options=Http2ProtocolOptions(
            initial_stream_window_size=hardening.STREAM_WINDOW,
            initial_connection_window_size=hardening.CONNECTION_WINDOW,
        ),
    )
    common = HttpProtocolOptions(
        idle_timeout=duration(IDLE),
        max_headers_count=hardening.MAX_HEADERS + MORE_HEADERS,
        max_response_headers_kb=ANSWER_KIB,
    )
    options = UpstreamOptions(use_downstream_protocol_config=own, common_http_protocol_options=common)
    address = Address(envoy_internal_address=EnvoyInternalAddress(server_listener_name=TRACED))
    endpoint = LbEndpoint(endpoint=Endpoint(address=address))
    return Cluster(
        name=TRACED,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=duration(CONNECT),
        per_connection_buffer_limit_bytes=hardening.CONNECTION_BUFFER,
        typed_extension_protocol_options={OPTIONS: packed(options)},
        circuit_breakers=circuit_breakers(0, TrafficPolicy().retry),
        load_assignment=ClusterLoadAssignment(
            cluster_name=TRACED, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )
