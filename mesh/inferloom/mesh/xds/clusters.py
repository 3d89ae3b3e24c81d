"""Clusters: how the edge speaks to replicas, chooses among them and bounds what it sends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    ClusterLeastRequestLbConfig,
    ClusterRoundRobinLbConfig,
    ClusterSlowStartConfig,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    KeepaliveSettings,
    TcpKeepalive,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions as UpstreamOptions,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptionsExplicitHttpConfig,
)

from inferloom.mesh.catalog import Replica
from inferloom.mesh.listen import parse_address
from inferloom.mesh.policy import Balancing, TrafficPolicy
from inferloom.mesh.xds.breaking import NO_BOUND, circuit_breakers, outlier_detection
from inferloom.mesh.xds.encoding import field
from inferloom.mesh.xds.endpoints import assignment
from inferloom.mesh.xds.messages import ADS, duration, is_address, packed, percent, socket

__all__ = ["fixed_cluster", "replicas_cluster"]

MIB = 1 << 20
NAME = 1  # number of Cluster.name
CONNECT = 1.0  # seconds
SLOW_LEAST = 0.1  # of a new replica's weight, at the start of its slow start
IDLE = 55.0  # seconds: REST connections are given up before a server with a usual 60 s does
PING = 6.0  # seconds between pings of replicas that allow them every five ...
PING_TIMEOUT = 3.0  # ... and until one that does not answer is hung up on: its requests are tried elsewhere
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def replicas_cluster(
    name: str, replicas: Sequence[Replica], policy: TrafficPolicy, *, rest: bool, zone: str
) -> tuple[bytes, bytes | None]:
    """A cluster of a model's usable replicas, and its ClusterLoadAssignment, encoded.

    Endpoints come over EDS, which takes IP addresses only; where one is a host's name the cluster resolves it itself, and
    the second value is None.
    """
    endpoints = assignment(name, replicas, rest=rest, locality=policy.locality, zone=zone)
    pinged = not rest and all(replica.pings for replica in replicas)
    encoded = field(NAME, name.encode()) + _rules(policy, rest, pinged)
    if all(is_address(replica.host) for replica in replicas):
        return encoded + _eds(), bytes(endpoints)
    own = Cluster(type=ClusterDiscoveryType.STRICT_DNS, load_assignment=endpoints)
    return encoded + bytes(own), None


@lru_cache(maxsize=1)
def _eds() -> bytes:
    return bytes(Cluster(type=ClusterDiscoveryType.EDS, eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS)))


@lru_cache(maxsize=1024)
def _rules(policy: TrafficPolicy, rest: bool, pinged: bool) -> bytes:
    """All of an encoded Cluster that does not depend on the model."""
    cluster = _cluster("", rest=rest, pinged=pinged)
    cluster.common_lb_config = ClusterCommonLbConfig(healthy_panic_threshold=percent(0))  # none to those that are out
    cluster.outlier_detection = outlier_detection(policy.health)
    cluster.circuit_breakers = circuit_breakers(policy.concurrency, policy.retry)
    _balance(cluster, policy)
    return bytes(cluster)


def fixed_cluster(name: str, address: str, *, rest: bool) -> Cluster:
    """A cluster of one known server: the router process."""
    at = parse_address(address, name)
    cluster = _cluster(name, rest=rest)
    cluster.type = ClusterDiscoveryType.STATIC if is_address(at.host) else ClusterDiscoveryType.STRICT_DNS
    endpoint = LbEndpoint(endpoint=Endpoint(address=socket(at.host, at.port)))
    cluster.load_assignment = ClusterLoadAssignment(
        cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
    )
    cluster.circuit_breakers = circuit_breakers(0, TrafficPolicy().retry)  # it bounds itself, and says so better
    return cluster


def _cluster(name: str, *, rest: bool, pinged: bool = False) -> Cluster:
    explicit = HttpProtocolOptionsExplicitHttpConfig()
    common = HttpProtocolOptions()
    if rest:
        explicit.http_protocol_options = Http1ProtocolOptions()
        common.idle_timeout = duration(IDLE)
    else:
        explicit.http2_protocol_options = _http2(pinged)
    options = UpstreamOptions(explicit_http_config=explicit, common_http_protocol_options=common)
    return Cluster(
        name=name,
        connect_timeout=duration(CONNECT),
        per_connection_buffer_limit_bytes=MIB,
        typed_extension_protocol_options={OPTIONS: packed(options)},
        upstream_connection_options=UpstreamConnectionOptions(
            tcp_keepalive=TcpKeepalive(keepalive_time=30, keepalive_interval=10, keepalive_probes=3)
        ),
    )


def _http2(pinged: bool) -> Http2ProtocolOptions:
    """Windows of 1 MiB a stream: with 64 KiB a 10 MiB tensor takes 10 ms longer.

    A process that hangs keeps its connections and the requests in them; nothing but an unanswered ping makes Envoy break
    them. Health checks do not: they keep new requests away, and the registry does that sooner.
    """
    # gRPC servers answer pings that come too often with GOAWAY; Triton's least interval is 5 minutes unless told otherwise,
    # as our sidecar does. For others a ping goes out only where a request waits on a connection that has been silent.
    pings = KeepaliveSettings(connection_idle_interval=duration(30), timeout=duration(5))
    if pinged:
        pings = KeepaliveSettings(interval=duration(PING), timeout=duration(PING_TIMEOUT))
    return Http2ProtocolOptions(
        initial_stream_window_size=MIB,
        initial_connection_window_size=16 * MIB,
        max_concurrent_streams=NO_BOUND >> 1,
        connection_keepalive=pings,
    )


def _balance(cluster: Cluster, policy: TrafficPolicy) -> None:
    if policy.affinity:
        cluster.lb_policy = ClusterLbPolicy.RING_HASH
    elif policy.balancing is Balancing.ROUND_ROBIN:
        cluster.lb_policy = ClusterLbPolicy.ROUND_ROBIN
        if policy.slow_start:
            cluster.round_robin_lb_config = ClusterRoundRobinLbConfig(slow_start_config=_slow_start(policy))
    elif policy.balancing is Balancing.RANDOM:
        cluster.lb_policy = ClusterLbPolicy.RANDOM
    else:
        cluster.lb_policy = ClusterLbPolicy.LEAST_REQUEST
        if policy.slow_start:
            cluster.least_request_lb_config = ClusterLeastRequestLbConfig(slow_start_config=_slow_start(policy))


def _slow_start(policy: TrafficPolicy) -> ClusterSlowStartConfig:
    window = duration(policy.slow_start)
    return ClusterSlowStartConfig(slow_start_window=window, min_weight_percent=percent(SLOW_LEAST))
