"""The parts of the discovery service: bytes, targets, documents of splits, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from envoy_data_plane.envoy.config.core.v3 import Locality, Node
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration, VirtualHost
from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
from envoy_data_plane.google.protobuf import Struct
from envoy_data_plane.google.rpc import Status

from inferloom.mesh.catalog import Catalog, Model, Replica
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Document
from inferloom.mesh.split import Split
from inferloom.mesh.xds.codec import decode_ask, encode_push
from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS, Ask, Push
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.feed import Inputs
from inferloom.mesh.xds.resources import Compiler, Resources
from inferloom.mesh.xds.route_hosts import catches_all, join, split
from inferloom.mesh.xds.split_documents import SplitDocuments
from inferloom.mesh.xds.target import Target, assemble, digest, model_of
from inferloom.mesh.xds.targets import Targets


def test_a_request_is_decoded_with_its_node() -> None:
    node = Node(
        id="e", locality=Locality(region="eu", zone="b"), metadata=Struct.from_dict({"inferloom": {"zone": "eu/b"}})
    )
    ask = decode_ask(bytes(DiscoveryRequest(type_url=EDS, resource_names=["a"], version_info="v", node=node)))
    assert (ask.type, ask.names, ask.version, ask.nonce, ask.error) == (EDS, ("a",), "v", "", "")
    assert ask.node is not None
    assert (ask.node.id, ask.node.zone, ask.node.metadata) == ("e", "eu/b", {"inferloom": {"zone": "eu/b"}})


@pytest.mark.parametrize(("status", "why"), [(Status(code=13, message="no"), "no"), (Status(code=3), "code 3")])
def test_a_refusal_is_one_even_without_a_text(status: Status, why: str) -> None:
    ask = decode_ask(bytes(DiscoveryRequest(type_url=CDS, response_nonce="1", error_detail=status)))
    assert why in ask.error
    assert ask == Ask(CDS, nonce="1", error=ask.error)


def test_an_answer_carries_the_bytes_as_they_are() -> None:
    answer = DiscoveryResponse.parse(encode_push(Push(LDS, "v", "7", {"edge": b"\x0a\x01e"})))
    assert (answer.type_url, answer.version_info, answer.nonce) == (LDS, "v", "7")
    assert [(each.type_url, each.value) for each in answer.resources] == [(LDS, b"\x0a\x01e")]


def test_a_route_configuration_is_the_same_after_it_was_taken_apart() -> None:
    hosts = [VirtualHost(name="iris", domains=["iris"]), VirtualHost(name="rest", domains=["*"])]
    whole = RouteConfiguration(name="edge", vhost_header="x-inferloom-model", virtual_hosts=hosts)
    rest, found = split(bytes(whole))
    assert found == {host.name: bytes(host) for host in hosts}
    assert [catches_all(host) for host in found.values()] == [False, True]
    assert RouteConfiguration.parse(join(rest, found)) == whole


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05abc", b"\x0b", b"\xff" * 12])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        split(data)


def test_the_catch_all_host_and_the_table_come_first() -> None:
    routes = RouteConfiguration(
        name="edge", virtual_hosts=[VirtualHost(name="iris", domains=["iris"]), VirtualHost(name="x", domains=["*"])]
    )
    target = Target.of(Resources({"model/iris@2": b""}, {}, {}, {"edge": bytes(routes)}))
    assert list(target.units[RDS]) == ["edge", "edge/x", "edge/iris"]
    assert target.essential == {"edge", "edge/x"}
    assert target.clusters_of == {"iris": {"model/iris@2"}}
    hosts = RouteConfiguration.parse(assemble(target.units[RDS])["edge"]).virtual_hosts
    assert [host.name for host in hosts] == ["x", "iris"]


def test_models_of_units() -> None:
    units = ("model/iris", "rest/iris@2", "edge/iris", "mesh-router", "edge")
    assert [model_of(unit) for unit in units] == ["iris", "iris", "iris", "", ""]


def test_a_digest_depends_on_names_and_bytes_and_not_on_their_order() -> None:
    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    assert len({digest(each) for each in ({}, {"a": b""}, {"a": b"1"}, {"a1": b""}, {"b": b"1"})}) == 5


class TestSplitDocuments:
    def document(self, version: int, share: object = 100) -> Mapping[tuple[str, str], Document]:
        spec = {"arms": [{"name": "1", "share": share}]}
        return {("split", "iris"): Document("split", "iris", spec, version, "", 0.0)}

    def test_a_bad_one_changes_nothing_and_is_told(self) -> None:
        changes: list[int] = []
        documents = SplitDocuments()
        documents.on_change(lambda: changes.append(1))
        documents.apply(self.document(1))
        good = documents.splits["iris"]
        documents.apply(self.document(2, "many"))
        assert documents.splits["iris"] is good
        assert documents.problems["iris"].startswith("version 2: ")
        assert len(changes) == 1
        documents.apply({})
        assert (documents.splits, documents.problems, len(changes)) == ({}, {}, 2)


class Picky(Compiler):
    """Cannot compile one model, and counts."""

    runs = 0

    def compile(
        self,
        catalog: Catalog,
        policy: Callable[[Model], TrafficPolicy],
        splits: Mapping[str, Split],
        skip: Mapping[str, bytes | None] = {},
    ) -> Resources:
        Picky.runs += 1
        if "odd" in catalog.models:
            raise ValueError("a record that cannot be")
        return super().compile(catalog, policy, splits, skip)


def test_a_model_that_cannot_be_compiled_is_left_out_and_tried_again_when_it_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inferloom.mesh.xds.targets.Compiler", Picky)
    settings, targets = EdgeSettings(), Targets()
    targets.enter(settings)
    replicas = [Replica(name, "a", "127.0.0.1", 9, versions=("1",)) for name in ("iris", "odd")]
    catalog = Catalog.build(replicas)

    def compiled(now: Catalog) -> set[str]:
        found = targets.of(settings, Inputs(now, TrafficPolicy.of, {}))
        return {model_of(name) for name in found.units[CDS]} - {""}

    assert compiled(catalog) == {"iris"}
    assert targets.odd(settings) == {"odd": "a record that cannot be"}
    before = Picky.runs
    assert compiled(catalog) == {"iris"}
    assert Picky.runs == before + 1, "it is not tried while it stays the same"
    assert compiled(Catalog.build(replicas[:1], catalog)) == {"iris"}
    assert targets.odd(settings) == {}
    targets.leave(settings)
