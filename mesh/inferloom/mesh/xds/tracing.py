"""The edge's part of a trace: Envoy's own spans, sent as OTLP over gRPC to the operator's receiver.

Envoy follows a caller that has decided on sampling. Each try at a replica is a client's span below the one of the request.

Envoy makes and tags spans before it throws away those that are not sampled, which costs a third of what the request itself
does. So where less than all are taken nothing is traced at the listener: its routes (traced_routes.py) pick the requests to
be traced and send them through a second one (traced_listener.py), which traces whatever comes.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import GrpcService, GrpcServiceEnvoyGrpc
from envoy_data_plane.envoy.config.trace.v3 import OpenTelemetryConfig, TracingHttp
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerTracing,
    RequestIdExtension,
)
from envoy_data_plane.envoy.extensions.request_id.uuid.v3 import UuidRequestIdConfig
from envoy_data_plane.envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    AlwaysOnSamplerConfig,
    ParentBasedSamplerConfig,
)
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag, CustomTagHeader

from inferloom.mesh.xds.clusters import fixed_cluster
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.messages import duration, extension, packed
from inferloom.mesh.xds.types import ARM_HEADER, MODEL_HEADER, VERSION_HEADER

__all__ = ["COLLECTOR", "collectors", "picks", "traced"]

COLLECTOR = "otlp"  # the cluster's name; those of replicas have prefixes
SERVICE = "inferloom-edge"
TIMEOUT = 5.0  # seconds for one message of spans
TAGS = {  # left out where the header is absent; peer.address, Envoy's own tag, is the first listener where there are two
    "inferloom.model": MODEL_HEADER,
    "inferloom.version": VERSION_HEADER,
    "inferloom.arm": ARM_HEADER,
    "inferloom.request_id": "x-request-id",
    "client.address": "x-forwarded-for",
}
_SAMPLERS = "envoy.tracers.opentelemetry.samplers."


def picks(settings: EdgeSettings) -> bool:
    """Whether the requests to be traced are picked first; with a ratio of 1 nearly all are, and need no second listener."""
    return bool(settings.otlp) and settings.trace_ratio < 1


def traced(manager: HttpConnectionManager, settings: EdgeSettings) -> HttpConnectionManager:
    """The connection manager with all of its requests traced, but those whose callers say no; without a receiver it is as
    it was."""
    if not settings.otlp:
        return manager
    sampler = extension(f"{_SAMPLERS}always_on", AlwaysOnSamplerConfig())
    config = OpenTelemetryConfig(
        grpc_service=GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=COLLECTOR), timeout=duration(TIMEOUT)),
        service_name=SERVICE,
        sampler=extension(f"{_SAMPLERS}parent_based", ParentBasedSamplerConfig(wrapped_sampler=sampler)),
    )
    manager.tracing = HttpConnectionManagerTracing(
        custom_tags=[CustomTag(tag=tag, request_header=CustomTagHeader(name=name)) for tag, name in TAGS.items()],
        provider=TracingHttp(name="envoy.tracers.opentelemetry", typed_config=packed(config)),
        spawn_upstream_span=True,
    )
    # Request ids are the callers' and need not be UUIDs, from whose digits Envoy would read whether to trace.
    ids = UuidRequestIdConfig(pack_trace_reason=False, use_request_id_for_trace_sampling=False)
    manager.request_id_extension = RequestIdExtension(typed_config=packed(ids))
    return manager


def collectors(settings: EdgeSettings) -> dict[str, Cluster]:
    """The receiver's cluster by its name; none where nothing is traced."""
    return {COLLECTOR: fixed_cluster(COLLECTOR, settings.otlp, rest=False)} if settings.otlp else {}
