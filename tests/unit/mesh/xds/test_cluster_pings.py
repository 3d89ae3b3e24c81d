from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import KeepaliveSettings
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import HttpProtocolOptions

from inferloom.mesh.catalog import Replica
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.xds.clusters import OPTIONS, replicas_cluster


def keepalive(*pings: bool) -> KeepaliveSettings:
    replicas = [Replica("iris", str(n), "127.0.0.1", 8001 + n, pings=each) for n, each in enumerate(pings)]
    made = Cluster.parse(replicas_cluster("model/iris", replicas, TrafficPolicy(), rest=False, zone="")[0])
    explicit = HttpProtocolOptions.parse(made.typed_extension_protocol_options[OPTIONS].value).explicit_http_config
    assert explicit is not None
    assert explicit.http2_protocol_options is not None
    found = explicit.http2_protocol_options.connection_keepalive
    assert found is not None
    return found


def test_replicas_that_allow_it_are_pinged_so_that_one_that_hangs_is_found() -> None:
    assert keepalive(True, True).interval is not None


def test_a_server_of_default_settings_is_not_pinged_for_it_would_hang_up() -> None:
    assert keepalive(True, False).interval is None
