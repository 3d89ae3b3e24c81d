"""Tells the router process of the requests that an edge has split, so that figures and exposures have them too.

The Lua filter notes the turn of each in dynamic metadata, which no caller can write and no replica sees; Envoy sends
batches of them over gRPC (envoy.service.accesslog.v3). While nobody listens at the other end they are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog, AccessLogFilter, MetadataFilter
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import HttpGrpcAccessLogConfig
from envoy_data_plane.envoy.type.matcher.v3 import MetadataMatcher, MetadataMatcherPathSegment, ValueMatcher

from inferloom.mesh.xds.access_log_grpc import told_to
from inferloom.mesh.xds.exposures import KEY, NAMESPACE, STATUS
from inferloom.mesh.xds.messages import packed
from inferloom.mesh.xds.types import MESH_ROUTER

__all__ = ["split_log"]

EVERY = 1.0  # seconds between two batches


def split_log(tokens: Sequence[str] = ()) -> AccessLog:
    """For the listener's access logs. `tokens`: of the mesh; the router wants one."""
    config = HttpGrpcAccessLogConfig(
        common_config=told_to(MESH_ROUTER, NAMESPACE, EVERY, tokens),
        additional_response_headers_to_log=[STATUS],  # an answer without a message has its status there
        additional_response_trailers_to_log=[STATUS],
    )
    split = MetadataMatcher(
        filter=NAMESPACE, path=[MetadataMatcherPathSegment(key=KEY)], value=ValueMatcher(present_match=True)
    )
    rule = AccessLogFilter(metadata_filter=MetadataFilter(matcher=split, match_if_key_not_found=False))
    return AccessLog(name="envoy.access_loggers.http_grpc", filter=rule, typed_config=packed(config))
