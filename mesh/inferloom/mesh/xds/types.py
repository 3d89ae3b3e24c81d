"""Names that both sides of the discovery protocol know: type URLs, resources, clusters, routing headers."""

from __future__ import annotations

__all__ = [
    "ARM_HEADER",
    "CLUSTER",
    "EDGE",
    "ENDPOINT",
    "FACE_HEADER",
    "INFER",
    "LISTENER",
    "LUA",
    "MESH_HTTP",
    "MESH_ROUTER",
    "MODEL_CLUSTERS",
    "MODEL_HEADER",
    "NEVER",
    "REST_CLUSTERS",
    "ROUTE",
    "ROUTING_HEADERS",
    "SLOW",
    "STREAM",
    "STREAM_FRAMES",
    "STREAM_NAMES",
    "TRACED",
    "TRACED_MODEL",
    "TRANSCODER",
    "UNDECIDED",
    "UNROUTED",
    "VERSION_HEADER",
    "model_cluster",
    "rest_cluster",
]

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"

EDGE = "edge"  # the listener and its route configuration
MESH_ROUTER = "mesh-router"  # clusters: the router process, gRPC ...
MESH_HTTP = "mesh-http"  # ... and HTTP
TRACED = "traced"  # the listener of requests that are traced, and the cluster that leads there
MODEL_CLUSTERS, REST_CLUSTERS = "model", "rest"  # what the names of all others begin with, before a "/"

MODEL_HEADER = "x-inferloom-model"
VERSION_HEADER = "x-inferloom-version"
FACE_HEADER = "x-inferloom-face"
ARM_HEADER = "x-inferloom-arm"
ROUTING_HEADERS = (MODEL_HEADER, VERSION_HEADER, FACE_HEADER, ARM_HEADER)
SLOW = "inferloom.explain.slow_ms"  # runtime key: what takes so many milliseconds is told as slow
NEVER = 1_000_000_000  # ... none is
STREAM = "stream"  # name of a model's routes for streams; the others have none
UNROUTED = "-"  # the model until the Lua filter has looked at the request; the others are absent
UNDECIDED = "?"  # ... and while it is open whether it is traced, where that is picked; no model is called so
TRACED_MODEL = "+"  # ... and once it has gone to be traced

LUA = "envoy.filters.http.lua"  # the filter, and the key of routes' metadata that it reads
INFER = "infer"  # the filter's source for the route of ModelInfer
STREAM_FRAMES = "envoy.filters.http.lua.frames"  # filters that only some routes switch on
STREAM_NAMES = "envoy.filters.http.grpc_field_extraction"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"


def model_cluster(model: str, version: str = "") -> str:
    """Replicas of a model over gRPC; with a version those that serve it."""
    return f"{MODEL_CLUSTERS}/{model}@{version}" if version else f"{MODEL_CLUSTERS}/{model}"


def rest_cluster(model: str, version: str = "") -> str:
    """The same replicas over their REST port."""
    return f"{REST_CLUSTERS}/{model}@{version}" if version else f"{REST_CLUSTERS}/{model}"
