"""A bootstrap that holds compiled resources itself, so that Envoy runs them without a control plane."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager

from inferloom.mesh.listen import Address
from inferloom.mesh.xds.bootstrap import BootstrapSettings, bootstrap
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.resources import Resources
from inferloom.mesh.xds.types import EDGE

__all__ = ["as_json", "decoded_listener", "static_bootstrap"]

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HERE = Address("127.0.0.1", 9)
NOBODY = BootstrapSettings(node="static", admin=_HERE, control=(_HERE,), edge=EdgeSettings())


def static_bootstrap(resources: Resources) -> dict[str, Any]:
    """The resources as JSON of envoy.config.bootstrap.v3.Bootstrap: endpoints and routes stand where they are referred to."""
    routes = as_json(RouteConfiguration.parse(resources.routes[EDGE]))
    clusters = [as_json(_cluster(name, data, resources)) for name, data in resources.clusters.items()]
    listeners = [_listener(data, routes) for data in resources.listeners.values()]
    started = {"bootstrap_extensions": bootstrap(NOBODY)["bootstrap_extensions"]}
    return {**started, "static_resources": {"clusters": clusters, "listeners": listeners}}


def _listener(data: bytes, routes: dict[str, Any]) -> dict[str, Any]:
    listener = Listener.parse(data)
    config = listener.filter_chains[0].filters[0].typed_config
    assert config is not None
    listener.filter_chains[0].filters[0].typed_config = None
    static = as_json(listener)
    static["filter_chains"][0]["filters"][0]["typed_config"] = {**_manager(config.value), "route_config": routes}
    return static


@lru_cache(maxsize=16)
def _manager(data: bytes) -> dict[str, Any]:
    """The connection manager less its routes. To write it as JSON takes half a second, and most tests have the same."""
    manager = HttpConnectionManager.parse(data)
    manager.rds = None
    return {"@type": f"type.googleapis.com/{MANAGER}", **as_json(manager)}


def as_json(message: betterproto2.Message) -> dict[str, Any]:
    """A message as JSON that Envoy reads: betterproto2 has ways of its own with a digit in a name and with an empty Any."""
    text = json.dumps(message.to_dict(casing=betterproto2.Casing.SNAKE)).replace("consecutive_5_xx", "consecutive_5xx")
    found: dict[str, Any] = json.loads(text.replace('{"@type": ""}', "{}"))
    return found


def decoded_listener(data: bytes) -> tuple[Listener, HttpConnectionManager]:
    """A listener and the connection manager in it."""
    listener = Listener.parse(data)
    config = listener.filter_chains[0].filters[0].typed_config
    assert config is not None
    return listener, HttpConnectionManager.parse(config.value)


def _cluster(name: str, data: bytes, resources: Resources) -> Cluster:
    cluster = Cluster.parse(data)
    if cluster.type is ClusterDiscoveryType.EDS:
        cluster.type = ClusterDiscoveryType.STATIC
        cluster.eds_cluster_config = None
        cluster.load_assignment = ClusterLoadAssignment.parse(resources.endpoints[name])
    return cluster
