"""Golden files of what is compiled, in tests/data/xds; `python -m tests.unit.mesh.xds.test_resources` writes them anew."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, VirtualHost

from inferloom.mesh.catalog import Catalog, Kind, Repeat, Replica, State
from inferloom.mesh.policy import Balancing, Locality, TrafficPolicy
from inferloom.mesh.split import Arm, Split
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.resources import Compiler, Resources
from inferloom.mesh.xds.types import EDGE
from tests.support.static_edge import as_json, decoded_listener

GOLDEN = Path(__file__).parents[3] / "data" / "xds"
DEFAULT = TrafficPolicy()


def replica(model: str = "iris", name: str = "a", **fields: Any) -> Replica:
    return Replica(model, name, "127.0.0.1", fields.pop("port", 9000), **({"versions": ("1",)} | fields))


def compiled(
    *replicas: Replica,
    policy: TrafficPolicy = DEFAULT,
    split: Split | None = None,
    settings: EdgeSettings | None = None,
    skip: Mapping[str, bytes | None] = {},
) -> Resources:
    catalog = Catalog.build(replicas)
    splits = {split.name: split} if split is not None else {}
    return Compiler(settings or EdgeSettings()).compile(catalog, lambda model: policy, splits, skip)


def of_model(resources: Resources, model: str) -> dict[str, Any]:
    """All that one model became, as JSON."""

    def own(name: str) -> bool:
        return name.split("/")[-1].split("@")[0] == model

    return {
        "clusters": {n: as_json(Cluster.parse(d)) for n, d in resources.clusters.items() if own(n)},
        "endpoints": {n: as_json(ClusterLoadAssignment.parse(d)) for n, d in resources.endpoints.items() if own(n)},
        "host": as_json(VirtualHost.parse(resources.hosts[model])) if model in resources.hosts else None,
    }


def listener_json(resources: Resources) -> dict[str, Any]:
    """The listener, without what others own: Lua source and descriptors."""
    listener, manager = decoded_listener(resources.listeners[EDGE])
    listener.filter_chains[0].filters[0].typed_config = None
    found = as_json(manager)
    for each in found["http_filters"]:
        config = each["typed_config"]
        config.pop("default_source_code", None)
        config.pop("source_codes", None)
        config.pop("descriptor_set", None)
        config.pop("proto_descriptor_bin", None)
    return {"listener": as_json(listener), "manager": found}


@cache
def _cases() -> dict[str, dict[str, Any]]:
    two = (replica(http_port=9100), replica(name="b", port=9001, http_port=9101))
    careful = TrafficPolicy(
        attempt_timeout=2.0,
        idempotent=False,
        balancing=Balancing.ROUND_ROBIN,
        locality=Locality.PREFER,
        concurrency=16,
    )
    zoned = (replica(locality="eu/a", weight=2.0), replica(name="b", port=9001, locality="eu/b"))
    several = (replica(http_port=9100), replica(name="b", port=9001, versions=("1", "2"), http_port=9101))
    split = Split.of("iris", [Arm("1", 90.0), Arm("2", 10.0)], by="user", overrides={"tester": "2"})
    service = (replica("greet", kind=Kind.SERVICE, repeat=Repeat.UNBEGUN),)
    tls = EdgeSettings(tls_cert="/cert.pem", tls_key="/key.pem", tls_client_ca="/ca.pem", access_log="all")
    return {
        "two_replicas": of_model(compiled(*two), "iris"),
        "careful": of_model(compiled(*zoned, policy=careful, settings=EdgeSettings(zone="a")), "iris"),
        "affinity": of_model(compiled(*two, policy=TrafficPolicy(affinity="user")), "iris"),
        "versions_and_split": of_model(compiled(*several, split=split), "iris"),
        "service": of_model(compiled(*service), "greet"),
        "host_name": of_model(compiled(dataclasses.replace(replica(), host="triton.local")), "iris"),
        "listener": listener_json(compiled()),
        "listener_tls": listener_json(compiled(settings=tls)),
        "default_routes": as_json(RouteConfiguration.parse(compiled().routes[EDGE])),
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_what_is_compiled_is_what_the_golden_file_holds(name: str) -> None:
    assert _cases()[name] == json.loads((GOLDEN / f"{name}.json").read_text())


def test_every_case_has_a_golden_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(_cases())


def test_the_route_configuration_put_together_from_bytes_is_the_plain_encoding() -> None:
    resources = compiled(replica(), replica("wine"), replica("greet", kind=Kind.SERVICE))
    decoded = RouteConfiguration.parse(resources.routes[EDGE])
    assert [host.name for host in decoded.virtual_hosts] == ["greet", "iris", "wine", "*"]
    hosts = [VirtualHost.parse(resources.hosts[name]) for name in ("greet", "iris", "wine")]
    assert decoded.virtual_hosts[:3] == hosts
    assert RouteConfiguration.parse(bytes(decoded)) == decoded
    assert sorted(bytes(decoded)) == sorted(resources.routes[EDGE])  # the same fields, in another order


def test_a_change_of_one_model_encodes_one() -> None:
    catalog = Catalog.build(replica(f"m{number}") for number in range(20))
    compiler = Compiler(EdgeSettings())
    first = compiler.compile(catalog, lambda model: DEFAULT, {})
    assert compiler.encoded == 20
    changed = [*catalog.replicas(), replica("m7", "b", port=9001)]
    second = compiler.compile(Catalog.build(changed, catalog), lambda model: DEFAULT, {})
    assert compiler.encoded == 21
    assert all(second.clusters[name] is first.clusters[name] for name in first.clusters if name != "model/m7")
    assert second.endpoints["model/m7"] != first.endpoints["model/m7"]


def test_nothing_changed_gives_the_same_bytes() -> None:
    catalog = Catalog.build([replica()])
    compiler = Compiler(EdgeSettings())
    first, second = (compiler.compile(catalog, lambda model: DEFAULT, {}) for _ in range(2))
    assert first.routes[EDGE] is second.routes[EDGE]
    assert first.listeners[EDGE] is second.listeners[EDGE]


def test_a_new_policy_or_split_encodes_its_model_again() -> None:
    catalog = Catalog.build([replica(), replica("wine"), replica("wine", "b", versions=("1", "2"))])
    compiler = Compiler(EdgeSettings())
    compiler.compile(catalog, lambda model: DEFAULT, {})
    split = Split.of("wine", [Arm("1", 1.0), Arm("2", 1.0)])
    compiler.compile(catalog, lambda model: DEFAULT, {"wine": split})
    assert compiler.encoded == 3
    other = TrafficPolicy(timeout=1.0)
    compiler.compile(catalog, lambda model: other if model.name == "iris" else DEFAULT, {"wine": split})
    assert compiler.encoded == 4


def test_a_model_whose_arm_leads_elsewhere_follows_that_model() -> None:
    split = Split.of("iris", [Arm("old", 1.0, version="1"), Arm("new", 1.0, model="iris2")])
    alone = Catalog.build([replica()])
    compiler = Compiler(EdgeSettings())
    compiler.compile(alone, lambda model: DEFAULT, {"iris": split})
    both = Catalog.build([replica(), replica("iris2")], alone)
    assert both.models["iris"] is alone.models["iris"]
    compiler.compile(both, lambda model: DEFAULT, {"iris": split})
    assert compiler.encoded == 3


@pytest.mark.parametrize("state", [State.STARTING, State.DRAINING])
def test_only_usable_replicas_are_endpoints(state: State) -> None:
    found = of_model(compiled(replica(), replica(name="b", port=9001, state=state)), "iris")
    (group,) = found["endpoints"]["model/iris"]["endpoints"]
    assert [each["endpoint"]["address"]["socket_address"]["port_value"] for each in group["lb_endpoints"]] == [9000]


def test_a_model_without_a_usable_replica_is_the_routers() -> None:
    assert of_model(compiled(replica(healthy=False)), "iris")["host"] is None


def test_while_nobody_serves_the_default_version_the_model_is_the_routers() -> None:
    crashed = replica(healthy=False), replica(name="b", port=9001, versions=("2",))
    assert of_model(compiled(*crashed), "iris")["host"] is None


def test_a_split_with_mirrors_is_the_routers() -> None:
    split = Split.of("iris", [Arm("1", 1.0), Arm("2", mirror=True)])
    assert of_model(compiled(replica(versions=("1", "2")), split=split), "iris")["host"] is None


def test_names_that_differ_in_case_do_not_clash() -> None:
    resources = compiled(replica("iris"), replica("Iris"), replica("IRIS"))
    assert list(resources.hosts) == ["IRIS"]


def test_a_skipped_model_keeps_the_bytes_it_is_given() -> None:
    before = compiled(replica()).hosts["iris"]
    resources = compiled(replica(), replica("wine"), policy=TrafficPolicy(timeout=1.0), skip={"iris": before})
    hosts = {host.name: host for host in RouteConfiguration.parse(resources.routes[EDGE]).virtual_hosts}
    assert hosts["iris"] == VirtualHost.parse(before)
    assert hosts["wine"] == VirtualHost.parse(resources.hosts["wine"])
    assert resources.hosts["iris"] != before


def test_a_skipped_model_without_bytes_is_left_out() -> None:
    resources = compiled(replica(), replica("wine"), skip={"iris": None})
    names = [host.name for host in RouteConfiguration.parse(resources.routes[EDGE]).virtual_hosts]
    assert names == ["wine", "*"]


def test_a_time_that_no_message_holds_is_left_to_envoy_to_refuse() -> None:
    resources = compiled(replica(), policy=TrafficPolicy(longest=float("inf")))
    assert "iris" in resources.hosts


def _write() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, value in _cases().items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def _time(count: int = 1000) -> str:
    catalog = Catalog.build(replica(f"m{number}", name) for number in range(count) for name in "ab")
    compiler = Compiler(EdgeSettings())
    began = time.process_time()
    compiler.compile(catalog, lambda model: DEFAULT, {})
    first = time.process_time()
    changed = Catalog.build([*catalog.replicas(), replica("m7", "c")], catalog)
    second = time.process_time()
    found = compiler.compile(changed, lambda model: DEFAULT, {})
    third = time.process_time()
    size = len(found.routes[EDGE]) / 1e6
    return (
        f"{count} models: CPU {first - began:.2f} s, one changed {1e3 * (third - second):.1f} ms, routes {size:.1f} MB"
    )


if __name__ == "__main__":
    import sys

    if sys.argv[1:] == ["time"]:
        sys.stdout.write(_time() + "\n")
    else:
        _write()
