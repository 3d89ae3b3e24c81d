"""Counts every request inside of Envoy, for the objectives and figures of models that it asks itself.

One histogram for each way in which requests have ended; where they went and how they ended stands in its one tag, which the
control plane takes apart (request_figures.py):

    form / HTTP status / gRPC status / response flags / cluster / model asked

Form is "stream" or nothing. The model asked is there where a split has led to another one. None of it is the caller's text:
clusters are the mesh's, and requests for models that are not there go to the router's.
"""

from __future__ import annotations

import warnings

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stats.v3 import (
    Config,
    ConfigHistogram,
    ConfigHistogramUnit,
    ConfigStat,
    ConfigTag,
)
from envoy_data_plane.envoy.type.v3 import Scope

from inferloom.mesh.xds.exposures import ASKED, NAMESPACE
from inferloom.mesh.xds.messages import packed
from inferloom.mesh.xds.request_figures import PREFIX, STAT, TAG

__all__ = ["request_stats"]

MOST = 20_000  # histograms; a model has two or three
FORMAT = "/".join(
    (
        "%ROUTE_NAME%",
        "%RESPONSE_CODE%",
        "%GRPC_STATUS_NUMBER%",
        "%RESPONSE_FLAGS%",
        "%UPSTREAM_CLUSTER%",
        f"%DYNAMIC_METADATA({NAMESPACE}:{ASKED})%",
    )
)


def request_stats() -> AccessLog:
    """For the listener's access logs. Values are milliseconds from a request's first byte until its answer's last one."""
    stat = ConfigStat(name=STAT, tags=[ConfigTag(name=TAG, value_format=FORMAT)])
    durations = ConfigHistogram(stat=stat, unit=ConfigHistogramUnit.Milliseconds, value_format="%DURATION%")
    with warnings.catch_warnings():  # betterproto2 warns of a deprecated field even where nobody sets it
        config = Config(stats_scope=Scope(prefix=PREFIX, max_histograms=MOST), histograms=[durations])
    return AccessLog(name="envoy.access_loggers.stats", typed_config=packed(config))
