"""The edge's listener, for gRPC and HTTP, with its hardening."""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation as Mutation
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    KeepaliveSettings,
    TransportSocket,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    Rds,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import HeaderMutation
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    TlsCertificate,
)

from inferloom.mesh.xds import hardening
from inferloom.mesh.xds.access_log import access_log
from inferloom.mesh.xds.access_log_splits import split_log
from inferloom.mesh.xds.access_log_stories import story_log
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.http_filters import http_filters
from inferloom.mesh.xds.local_replies import local_replies
from inferloom.mesh.xds.messages import ADS, OFF, duration, extension, overwritten, packed, socket
from inferloom.mesh.xds.request_stats import request_stats
from inferloom.mesh.xds.traced_listener import behind, in_front, traced_listener
from inferloom.mesh.xds.tracing import picks, traced
from inferloom.mesh.xds.types import EDGE, MODEL_HEADER, ROUTING_HEADERS, TRACED, UNDECIDED, UNROUTED

__all__ = ["listeners"]

MANAGER = "envoy.filters.network.http_connection_manager"
DRAIN = 5.0  # seconds between telling HTTP/2 callers to go and closing
RESOLVED = {"localhost": "127.0.0.1"}  # a listener takes addresses only


def listeners(settings: EdgeSettings) -> dict[str, Listener]:
    """The listeners of an edge by name: the one that callers reach, and behind it one for the requests that are traced,
    where these are picked. Their routes come over ADS by the name "edge"."""
    if not picks(settings):
        return {EDGE: _open(_chain(traced(_manager(settings), settings)), settings)}
    second = _chain(behind(_manager(settings), settings))
    return {
        EDGE: _open(_chain(in_front(_manager(settings, UNDECIDED))), settings),
        TRACED: traced_listener(second),
    }


def _chain(manager: HttpConnectionManager) -> FilterChain:
    return FilterChain(filters=[Filter(name=MANAGER, typed_config=packed(manager))])


def _open(chain: FilterChain, settings: EdgeSettings) -> Listener:
    if settings.tls_cert:
        chain.transport_socket = TransportSocket(
            name="envoy.transport_sockets.tls", typed_config=packed(_tls(settings))
        )
    host = settings.listen.host
    return Listener(
        name=EDGE,
        address=socket(RESOLVED.get(host, host), settings.listen.port),
        filter_chains=[chain],
        per_connection_buffer_limit_bytes=hardening.CONNECTION_BUFFER,
    )


def _manager(settings: EdgeSettings, model: str = UNROUTED) -> HttpConnectionManager:
    """`model`: what is said of a request's model before anything has looked at it."""
    return HttpConnectionManager(
        stat_prefix=EDGE,
        server_name="inferloom",
        rds=Rds(config_source=ADS, route_config_name=EDGE),
        http_filters=http_filters(settings),
        early_header_mutation_extensions=[
            extension("envoy.http.early_header_mutation.header_mutation", _unrouted(model))
        ],
        local_reply_config=local_replies(),
        access_log=[
            *access_log(settings.access_log),
            story_log(settings.tokens),
            split_log(settings.tokens),
            request_stats(),
        ],
        use_remote_address=True,  # what callers say in x-forwarded-for is not believed, nor are x-envoy- headers
        # A request's id is the caller's: exposures of splits are told by it, and one that was made up here joins nothing.
        generate_request_id=False,
        preserve_external_request_id=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManagerPathWithEscapedSlashesAction.KEEP_UNCHANGED,
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=duration(hardening.CONNECTION_IDLE),
            max_headers_count=hardening.MAX_HEADERS,
            # Keys of gRPC metadata may have underscores, and no server behind reads headers as CGI variables, where "_" and
            # "-" are the same.
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.ALLOW,
        ),
        http_protocol_options=Http1ProtocolOptions(),
        http2_protocol_options=Http2ProtocolOptions(
            initial_stream_window_size=hardening.STREAM_WINDOW,
            initial_connection_window_size=hardening.CONNECTION_WINDOW,
            max_concurrent_streams=hardening.MAX_STREAMS,
            connection_keepalive=KeepaliveSettings(interval=duration(60), timeout=duration(20)),
        ),
        max_request_headers_kb=hardening.MAX_HEADERS_KIB,
        request_headers_timeout=duration(hardening.HEADERS_TIMEOUT),
        stream_idle_timeout=OFF,  # every route has its own; one that is made here and dropped there costs half a microsecond
        drain_timeout=duration(DRAIN),
    )


def _unrouted(model: str) -> HeaderMutation:
    """Before anything is matched: what a caller sends as a routing header does not count.

    The model's must be there: without it no virtual host is found, and without a route a body over 1 MiB is refused.
    """
    others = [Mutation(remove=name) for name in ROUTING_HEADERS if name != MODEL_HEADER]
    return HeaderMutation(mutations=[Mutation(append=overwritten(MODEL_HEADER, model)), *others])


def _tls(settings: EdgeSettings) -> DownstreamTlsContext:
    certificate = TlsCertificate(
        certificate_chain=DataSource(filename=settings.tls_cert), private_key=DataSource(filename=settings.tls_key)
    )
    common = CommonTlsContext(tls_certificates=[certificate], alpn_protocols=["h2", "http/1.1"])
    if settings.tls_client_ca:
        common.validation_context = CertificateValidationContext(trusted_ca=DataSource(filename=settings.tls_client_ca))
    return DownstreamTlsContext(common_tls_context=common, require_client_certificate=bool(settings.tls_client_ca))
