"""Where everything goes that is no request for a model's replicas: the router process, over gRPC or over HTTP."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import (
    FilterConfig,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    Route,
    RouteAction,
    RouteActionMaxStreamDuration,
    RouteActionUpgradeConfig,
    RouteMatch,
    RouteMatchGrpcRouteMatchOptions,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import LuaPerRoute
from envoy_data_plane.google.protobuf import Any as AnyMessage

from inferloom.mesh.oip import MODEL_INFER, MODEL_STREAM_INFER
from inferloom.mesh.xds.messages import OFF, duration, packed
from inferloom.mesh.xds.types import INFER, LUA, MESH_HTTP, MESH_ROUTER, STREAM_FRAMES, STREAM_NAMES, TRANSCODER

__all__ = ["EVERYTHING", "default_host", "default_routes"]

EVERYTHING = "*"  # name and domain of its virtual host; no model is called so
HTTP_IDLE = 3600.0  # seconds: a WebSocket, a stream of events or a long answer may be silent
RETRY_ON = "connect-failure,refused-stream,reset-before-request"  # nobody has seen it
RETRIES = 3
BACKOFF = 0.05  # seconds; a router that is being started again answers a moment later


def default_host(body_limit: int) -> VirtualHost:
    """The virtual host of all requests until the Lua filter has looked at them, and of those that name no model here."""
    grpc, http = default_routes(body_limit)
    http.typed_per_filter_config = {TRANSCODER: _on()}
    own = []
    for method, config in (
        (MODEL_INFER, {LUA: packed(LuaPerRoute(name=INFER))}),
        (MODEL_STREAM_INFER, {STREAM_FRAMES: _on(), STREAM_NAMES: _on()}),
    ):
        route, _ = default_routes(body_limit)
        route.match = RouteMatch(path=method.path, grpc=RouteMatchGrpcRouteMatchOptions())
        route.typed_per_filter_config = config
        own.append(route)
    return VirtualHost(name=EVERYTHING, domains=[EVERYTHING], routes=[*own, grpc, http])


def _on() -> AnyMessage:
    """Switches on a filter that is off elsewhere: each costs half a microsecond even where it has nothing to do. A request's
    filters are chosen by its first route, which is one of these."""
    return packed(FilterConfig(config=AnyMessage()))


def default_routes(body_limit: int) -> list[Route]:
    """Routes without a name: gRPC to the router, all else to its HTTP port. No time-outs of their own: the router has
    its policies, watches last for days; the caller's grpc-timeout bounds all.

    Args:
        body_limit: bytes of a request that may be held while it is read for its model's name.
    """
    grpc = RouteMatch(prefix="/", grpc=RouteMatchGrpcRouteMatchOptions())
    routes = [Route(match=grpc, route=_action(MESH_ROUTER))]
    http = _action(MESH_HTTP)
    http.idle_timeout = duration(HTTP_IDLE)
    http.upgrade_configs = [RouteActionUpgradeConfig(upgrade_type="websocket")]
    routes.append(Route(match=RouteMatch(prefix="/"), route=http))
    for route in routes:
        route.request_body_buffer_limit = body_limit
    return routes


def _action(cluster: str) -> RouteAction:
    return RouteAction(
        cluster=cluster,
        timeout=OFF,
        idle_timeout=OFF,
        # No duration either: Envoy writes it into the request as grpc-timeout, where the route of the model, which is found
        # later, would take it for the caller's.
        max_stream_duration=RouteActionMaxStreamDuration(max_stream_duration=OFF, grpc_timeout_header_max=OFF),
        retry_policy=RetryPolicy(
            retry_on=RETRY_ON,
            num_retries=RETRIES,
            retry_back_off=RetryPolicyRetryBackOff(
                base_interval=duration(BACKOFF), max_interval=duration(10 * BACKOFF)
            ),
        ),
    )
