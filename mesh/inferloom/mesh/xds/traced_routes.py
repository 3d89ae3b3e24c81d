"""Which requests are traced: the routes that pick them, before any other.

Envoy draws a number for each request, by which `runtime_fraction` takes a share of them. The routes stand in a virtual host
of their own, which only the listener that callers reach asks for: it gives the model as "?". The second listener gives "-",
and so does the Lua filter where it lets a request go to the router.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy_data_plane.envoy.config.core.v3 import RuntimeFractionalPercent
from envoy_data_plane.envoy.config.route.v3 import (
    FilterConfig,
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionUpgradeConfig,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType

from inferloom.mesh.telemetry.tracing_context import ASK, TRACEPARENT
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.messages import OFF, header_is, overwritten, packed
from inferloom.mesh.xds.types import LUA, MODEL_HEADER, TRACED, TRACED_MODEL, UNDECIDED

__all__ = ["picking_host"]

MILLION = 1_000_000
SAMPLED = ".*[13579bdf]"  # the last digit of a traceparent: its lowest bit
UNTOLD = HeaderMatcher(name=TRACEPARENT, present_match=False)


def picking_host(host: VirtualHost, settings: EdgeSettings) -> VirtualHost:
    """The virtual host of requests of which nothing is known yet.

    Args:
        host: where those go that are not picked.
    """
    picked = [_through(match) for match in _picked(settings.trace_ratio)]
    return VirtualHost(name=UNDECIDED, domains=[UNDECIDED], routes=[*picked, *host.routes])


def _picked(ratio: float) -> Iterator[RouteMatch]:
    """Callers who have decided are followed; of the others all that ask, and a share."""
    regex = StringMatcher(safe_regex=RegexMatcher(regex=SAMPLED))
    yield RouteMatch(prefix="/", headers=[HeaderMatcher(name=TRACEPARENT, string_match=regex)])
    yield RouteMatch(prefix="/", headers=[header_is(ASK, "1"), UNTOLD])
    if ratio > 0:
        share = FractionalPercent(
            numerator=max(1, round(MILLION * ratio)), denominator=FractionalPercentDenominatorType.MILLION
        )
        fraction = RuntimeFractionalPercent(default_value=share, runtime_key="inferloom.traces.share")
        yield RouteMatch(prefix="/", headers=[UNTOLD], runtime_fraction=fraction)


def _through(match: RouteMatch) -> Route:
    """To the second listener as it is: no filter looks at it here, no time-out ends it, nothing is tried again."""
    return Route(
        match=match,
        route=RouteAction(
            cluster=TRACED,
            timeout=OFF,
            idle_timeout=OFF,
            upgrade_configs=[RouteActionUpgradeConfig(upgrade_type="websocket")],
        ),
        request_headers_to_add=[overwritten(MODEL_HEADER, TRACED_MODEL)],
        typed_per_filter_config={LUA: packed(FilterConfig(disabled=True))},
    )
