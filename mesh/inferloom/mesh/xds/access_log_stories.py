"""Tells the control plane of the requests that failed or were slow, so that `inferloom explain` has them.

Envoy sends them itself, over the connection by which it has its configuration, in batches (envoy.service.accesslog.v3): the
lines on standard output may be switched off or thinned out, come seconds late, and whoever reads them has no server that
`explain` could ask. Of other requests Envoy only looks whether they are such ones.

What is slow differs from model to model and changes; here is one bound for all, which the control plane sets at the admin
face (edge_paces.py says how), and it judges what comes by each model's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog, GrpcStatusFilter, GrpcStatusFilterStatus
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import HttpGrpcAccessLogConfig
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from inferloom.mesh.explain.story import ID_KEY
from inferloom.mesh.telemetry.tracing_context import TRACEPARENT
from inferloom.mesh.xds.access_log_filters import all_of, any_of, flagged, grpc, header, http_status, longer, share
from inferloom.mesh.xds.access_log_grpc import told_to
from inferloom.mesh.xds.bootstrap import CONTROL
from inferloom.mesh.xds.edge_tries import FLAGS, TRIED
from inferloom.mesh.xds.exposures import STATUS
from inferloom.mesh.xds.messages import packed
from inferloom.mesh.xds.response_flags import UNSEEN
from inferloom.mesh.xds.types import MODEL_HEADER, NEVER, SLOW, UNDECIDED, UNROUTED, VERSION_HEADER

__all__ = ["story_log"]

NAME = "inferloom.explain"
SHARE = "inferloom.explain.told"  # runtime key: percent of them that are told
EVERY = 0.5  # seconds between two batches
TAGS = {FLAGS: "%RESPONSE_FLAGS%", TRIED: "%UPSTREAM_HOSTS_ATTEMPTED%"}
HEADERS = [STATUS, "grpc-message", ID_KEY]  # of an answer; without a message it has them all at its beginning


def story_log(tokens: Sequence[str] = ()) -> AccessLog:
    """For the listener's access logs. `tokens`: of the mesh; the control plane wants one."""
    config = HttpGrpcAccessLogConfig(
        common_config=told_to(CONTROL, NAME, EVERY, tokens, TAGS),
        additional_request_headers_to_log=[VERSION_HEADER, TRACEPARENT],
        additional_response_headers_to_log=HEADERS,
        additional_response_trailers_to_log=HEADERS,
    )
    told = any_of(
        flagged(),
        http_status(400, "inferloom.explain.status"),
        grpc(GrpcStatusFilter(statuses=[GrpcStatusFilterStatus.OK], exclude=True)),
        longer(NEVER, SLOW),
    )
    routed = all_of(*(header(MODEL_HEADER, StringMatcher(exact=name), other=True) for name in (UNROUTED, UNDECIDED)))
    rule = all_of(told, any_of(routed, flagged(*UNSEEN)), share(SHARE))
    return AccessLog(name="envoy.access_loggers.http_grpc", filter=rule, typed_config=packed(config))
