"""The edge's part of a trace: Envoy's own spans, sent as OTLP over gRPC to the operator's receiver.

Envoy follows a caller that has decided on sampling; of the others it takes a share, and all that ask with
x-inferloom-trace. Each try at a replica is a client's span below the one of the request.
"""

from __future__ import annotations

from envoy_data_plane.cel.expr import Constant, Expr, ExprCall, ExprIdent, ExprSelect, ParsedExpr
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
    CelSamplerConfig,
    ParentBasedSamplerConfig,
)
from envoy_data_plane.envoy.type.tracing.v3 import CustomTag, CustomTagHeader
from envoy_data_plane.xds.type.v3 import CelExpression

from inferloom.mesh.telemetry.tracing_context import ASK
from inferloom.mesh.xds.clusters import fixed_cluster
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.messages import duration, extension, packed
from inferloom.mesh.xds.types import MODEL_HEADER

__all__ = ["COLLECTOR", "collectors", "sampled", "traced"]

COLLECTOR = "otlp"  # the cluster's name; those of replicas have prefixes
SERVICE = "inferloom-edge"
TIMEOUT = 5.0  # seconds for one message of spans
TAGS = {"inferloom.model": MODEL_HEADER, "inferloom.request_id": "x-request-id"}
_SAMPLERS = "envoy.tracers.opentelemetry.samplers."


def traced(manager: HttpConnectionManager, settings: EdgeSettings) -> HttpConnectionManager:
    """The connection manager with tracing, where the settings have a receiver; else as it is."""
    if not settings.otlp:
        return manager
    expression = CelExpression(cel_expr_parsed=ParsedExpr(expr=sampled(settings.trace_ratio)))
    sampler = extension(f"{_SAMPLERS}cel", CelSamplerConfig(expression=expression))
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


def sampled(ratio: float) -> Expr:
    """In CEL: whether a request is sampled whose caller has not decided.

        request.headers["x-inferloom-trace"] == "1" || stirred < 1000 * ratio

    CEL knows no chance: what stands in for it are the milliseconds and seconds at which the request came, stirred with
    primes so that callers who come by the clock are not all taken or all left. Envoy takes it as a syntax tree alone.
    """
    request = Expr(ident_expr=ExprIdent(name="request"))
    headers = Expr(select_expr=ExprSelect(operand=request, field="headers"))
    time = Expr(select_expr=ExprSelect(operand=request, field="time"))
    asks = _call("_==_", _call("_[_]", headers, _text(ASK)), _text("1"))
    if ratio <= 0:
        return asks
    milliseconds = Expr(call_expr=ExprCall(target=time, function="getMilliseconds"))
    seconds = _call("int", time)
    stirred = _call("_+_", _call("_*_", milliseconds, _number(7919)), _call("_*_", seconds, _number(104_729)))
    share = _call("_<_", _call("_%_", stirred, _number(1000)), _number(max(1, round(1000 * ratio))))
    return _call("_||_", asks, share)


def _call(function: str, *arguments: Expr) -> Expr:
    return Expr(call_expr=ExprCall(function=function, args=list(arguments)))


def _text(value: str) -> Expr:
    return Expr(const_expr=Constant(string_value=value))


def _number(value: int) -> Expr:
    return Expr(const_expr=Constant(int64_value=value))


def collectors(settings: EdgeSettings) -> dict[str, Cluster]:
    """The receiver's cluster by its name; none where nothing is traced."""
    return {COLLECTOR: fixed_cluster(COLLECTOR, settings.otlp, rest=False)} if settings.otlp else {}
