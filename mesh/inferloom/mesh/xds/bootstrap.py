"""What Envoy starts with: who it is, where its control planes are, how much memory it may take. All else comes by xDS.

Needs no envoy_data_plane: the bootstrap is JSON, so `inferloom edge` runs where only Envoy is installed.

Memory. An edge keeps each request's body (at most the message bound and 4 MiB more) until its model is known and for a
retry, so what 64 uploads of 64 MiB take at once is over 4 GiB. The overload manager watches the heap: from 90 % of
`max_memory` Envoy gives unused pages back, from 92 % it resets the streams that hold most, from 95 % it answers new
requests with UNAVAILABLE, from 98 % it takes no connections. Resident memory is some 100 MiB above the heap.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address
from inferloom.mesh.xds.edge_settings import ADMIN_KEY, EdgeSettings

__all__ = ["CONTROL", "BootstrapSettings", "bootstrap"]

CONTROL = "control"  # the cluster of the control planes; no route ever names it
CLUSTER = "inferloom-edge"
MIB = 1024 * 1024
RECONNECT, LONGEST = "0.1s", "1s"  # waits before a lost control plane is tried again
MERGED = "2s"  # between two merges of what the threads have counted in histograms; the control plane reads them
TRACKED = 20  # streams that hold over 2^20 bytes count when memory runs out
CONNECTION = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
INTERNAL_LISTENER = "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors"
TRIGGERS = (
    ("envoy.overload_actions.shrink_heap", {"threshold": {"value": 0.90}}),
    (
        "envoy.overload_actions.reset_high_memory_stream",
        {"scaled": {"scaling_threshold": 0.92, "saturation_threshold": 0.98}},
    ),
    ("envoy.overload_actions.stop_accepting_requests", {"threshold": {"value": 0.95}}),
    ("envoy.overload_actions.stop_accepting_connections", {"threshold": {"value": 0.98}}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapSettings:
    """What an edge is told on its command line."""

    node: str  # names this edge in the control plane's lists
    admin: Address  # loopback alone
    control: tuple[Address, ...]  # one or several
    edge: EdgeSettings  # its own part travels in the node's metadata: the control plane makes the listener of it
    max_memory: int = 2048 * MIB  # bytes of heap
    max_connections: int = 20_000  # of clients
    token: str = ""  # bearer token that the control planes want of edges


def bootstrap(settings: BootstrapSettings) -> dict[str, Any]:
    """Envoy's bootstrap (envoy.config.bootstrap.v3.Bootstrap), to be written as JSON.

    Raises:
        ConfigError: the admin address is not on loopback, or there is no control plane.
    """
    if not settings.admin.loopback:
        raise ConfigError(f"--admin: {settings.admin} can be reached from elsewhere, and Envoy's admin has no login")
    if not settings.control:
        raise ConfigError("--control: name at least one control plane as HOST:PORT")
    region, _, zone = settings.edge.zone.rpartition("/")
    return {
        "node": {
            "id": settings.node,
            "cluster": CLUSTER,
            "metadata": {**settings.edge.node(), ADMIN_KEY: str(settings.admin)},  # the control plane tells its metrics
            "locality": {"region": region, "zone": zone},
        },
        "admin": {"address": _socket(settings.admin), "ignore_global_conn_limit": True},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": CONTROL,
                            "retry_policy": {"retry_back_off": {"base_interval": RECONNECT, "max_interval": LONGEST}},
                        },
                        "initial_metadata": _authorization(settings.token),
                    }
                ],
            },
            # 0: not ready before a control plane has answered, however long that takes
            "cds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
            "lds_config": {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"},
        },
        "static_resources": {"clusters": [_control(settings.control)]},
        # Not used before the control plane sends a second listener (traced_listener.py); Envoy takes it at its start alone.
        "bootstrap_extensions": [
            {"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": INTERNAL_LISTENER}}
        ],
        "overload_manager": _overload(settings),
        "stats_flush_interval": MERGED,
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
    }


def _authorization(token: str) -> list[dict[str, str]]:
    return [{"key": "authorization", "value": f"Bearer {token}"}] if token else []


def _control(addresses: Sequence[Address]) -> dict[str, Any]:
    """Asked in turn: one that is gone is passed over with the next attempt."""
    return {
        "name": CONTROL,
        "type": "STATIC" if all(_is_ip(address.host) for address in addresses) else "STRICT_DNS",
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        # The interval is also how soon one that was passed over is asked again.
        "outlier_detection": {
            "consecutive_5xx": 1,
            "interval": "0.5s",
            "base_ejection_time": "2s",
            "max_ejection_percent": 50,
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": CONNECTION,
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "5s", "timeout": "3s"}}
                },
            }
        },
        "load_assignment": {
            "cluster_name": CONTROL,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(each)}} for each in addresses]}],
        },
    }


def _overload(settings: BootstrapSettings) -> dict[str, Any]:
    heap, connections = (
        "envoy.resource_monitors.fixed_heap",
        "envoy.resource_monitors.global_downstream_max_connections",
    )
    return {
        "refresh_interval": "0.1s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": TRACKED},
        "resource_monitors": [
            {
                "name": heap,
                "typed_config": {
                    "@type": f"{MONITORS}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": settings.max_memory,
                },
            },
            {
                "name": connections,
                "typed_config": {
                    "@type": f"{MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": settings.max_connections,
                },
            },
        ],
        "actions": [{"name": name, "triggers": [{"name": heap, **trigger}]} for name, trigger in TRIGGERS],
    }


def _socket(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
