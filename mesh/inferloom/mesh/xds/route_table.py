"""The route configuration around the virtual hosts."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from inferloom.mesh.xds.types import EDGE, MODEL_HEADER

__all__ = ["route_table"]


def route_table() -> RouteConfiguration:
    """Without hosts, which are chosen by the model's name. The routing headers go on to the replica: what is taken off here
    the access log could not show."""
    return RouteConfiguration(name=EDGE, vhost_header=MODEL_HEADER)
