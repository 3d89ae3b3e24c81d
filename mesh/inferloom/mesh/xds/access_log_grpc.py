"""Envoy's access log over gRPC: who is told, how often, and with which token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envoy_data_plane.envoy.config.core.v3 import ApiVersion, GrpcService, GrpcServiceEnvoyGrpc, HeaderValue
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import CommonGrpcAccessLogConfig
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag

from inferloom.mesh.xds.messages import duration

__all__ = ["told_to"]

BATCH = 64 * 1024  # bytes that are told at once, at the latest


def told_to(
    cluster: str, log: str, every: float, tokens: Sequence[str] = (), tags: Mapping[str, str] = {}
) -> CommonGrpcAccessLogConfig:
    """What all logs of this kind have in common.

    Args:
        cluster: of those who take it.
        every: seconds between two batches.
        tokens: of the mesh; who takes it wants one.
        tags: format strings by the names of custom tags.
    """
    service = GrpcService(envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=cluster))
    if tokens:
        service.initial_metadata = [HeaderValue(key="authorization", value=f"Bearer {tokens[0]}")]
    return CommonGrpcAccessLogConfig(
        log_name=log,
        grpc_service=service,
        transport_api_version=ApiVersion.V3,
        buffer_flush_interval=duration(every),
        buffer_size_bytes=BATCH,
        custom_tags=[CustomTag(tag=tag, value=form) for tag, form in tags.items()],
    )
