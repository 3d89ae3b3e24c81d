"""The bootstrap of an edge."""

from __future__ import annotations

import json

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address
from inferloom.mesh.xds.bootstrap import CONTROL, BootstrapSettings, bootstrap
from inferloom.mesh.xds.edge_settings import EdgeSettings

EDGE = EdgeSettings(listen=Address("0.0.0.0", 8081), zone="eu/a", max_message=1 << 20)


LOOPBACK = Address("127.0.0.1", 9)


def settings(admin: Address = LOOPBACK, control: tuple[Address, ...] = (LOOPBACK,)) -> BootstrapSettings:
    return BootstrapSettings(node="here", admin=admin, control=control, edge=EDGE, max_memory=300 << 20)


def test_the_control_plane_reads_the_edges_own_settings_from_its_node() -> None:
    node = json.loads(json.dumps(bootstrap(settings())["node"]))
    assert EdgeSettings(tokens=("t",)).from_node(node["metadata"]) == EdgeSettings(
        listen=EDGE.listen, zone="eu/a", max_message=1 << 20, tokens=("t",)
    )
    assert node["locality"] == {"region": "eu", "zone": "a"}


def test_several_control_planes_are_endpoints_of_one_cluster() -> None:
    [cluster] = bootstrap(settings(control=(Address("127.0.0.1", 8), Address("::1", 9))))["static_resources"][
        "clusters"
    ]
    [group] = cluster["load_assignment"]["endpoints"]
    ports = [each["endpoint"]["address"]["socket_address"]["port_value"] for each in group["lb_endpoints"]]
    assert (cluster["name"], cluster["type"], ports) == (CONTROL, "STATIC", [8, 9])


def test_a_control_plane_that_has_a_name_is_looked_up() -> None:
    [cluster] = bootstrap(settings(control=(Address("control.mesh", 8),)))["static_resources"]["clusters"]
    assert cluster["type"] == "STRICT_DNS"


def test_it_waits_for_its_control_plane_however_long_that_takes() -> None:
    resources = bootstrap(settings())["dynamic_resources"]
    assert [resources[key]["initial_fetch_timeout"] for key in ("cds_config", "lds_config")] == ["0s", "0s"]


def test_memory_runs_out_in_steps_that_end_below_the_bound() -> None:
    manager = bootstrap(settings())["overload_manager"]
    assert manager["resource_monitors"][0]["typed_config"]["max_heap_size_bytes"] == 300 << 20
    steps = {action["name"].rpartition(".")[2]: action["triggers"][0] for action in manager["actions"]}
    assert steps["shrink_heap"]["threshold"]["value"] < steps["stop_accepting_requests"]["threshold"]["value"] < 1
    assert steps["reset_high_memory_stream"]["scaled"]["saturation_threshold"] < 1


def test_a_control_plane_may_send_a_listener_without_a_port_at_any_time() -> None:
    (extension,) = bootstrap(settings())["bootstrap_extensions"]
    assert extension["name"] == "envoy.bootstrap.internal_listener"


def test_admin_is_on_loopback_alone() -> None:
    with pytest.raises(ConfigError, match=r"admin: 0\.0\.0\.0:9 can be reached from elsewhere"):
        bootstrap(settings(admin=Address("0.0.0.0", 9)))


def test_without_a_control_plane_there_is_no_edge() -> None:
    with pytest.raises(ConfigError, match="--control: name at least one"):
        bootstrap(settings(control=()))
