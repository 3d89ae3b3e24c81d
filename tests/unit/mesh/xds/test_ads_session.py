"""The state machine of one discovery stream, with a client that is played by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS, Ask, Node, Push
from inferloom.mesh.xds.route_hosts import join, split
from inferloom.mesh.xds.session import BRIEF, PATIENCE, Session
from inferloom.mesh.xds.target import Target


@dataclass(frozen=True)
class Compiled:
    clusters: Mapping[str, bytes]
    endpoints: Mapping[str, bytes]
    listeners: Mapping[str, bytes]
    routes: Mapping[str, bytes]


def host(name: str, content: str = "", domain: str = "") -> bytes:
    """A VirtualHost: name, domain, and what makes it differ from another in a field of its own."""
    parts = ((1, name), (2, domain or name), (15, content))
    return b"".join(bytes((number << 3 | 2, len(text))) + text.encode() for number, text in parts)


def target(listener: str = "l", table: str = "\x0a\x04edge", **models: str) -> Target:
    """A snapshot with a cluster, endpoints and a host for each model. Of "1:2:3" they are 1, 2 and 3; "1" is all three."""
    clusters, endpoints, hosts = {"mesh-router": b"fixed"}, {}, {"everything": host("everything", domain="*")}
    for name, text in models.items():
        cluster, addresses, route = text.split(":") if ":" in text else (text,) * 3
        clusters[f"model/{name}"] = cluster.encode()
        endpoints[f"model/{name}"] = addresses.encode()
        hosts[name] = host(name, route)
    return Target.of(Compiled(clusters, endpoints, {"edge": listener.encode()}, {"edge": join(table.encode(), hosts)}))


@dataclass
class Client:
    """As Envoy: asks for the endpoints of its clusters and for the routes of its listener, answers each push."""

    session: Session = field(default_factory=Session)
    now: float = 1000.0
    pushes: list[Push] = field(default_factory=list)  # to be answered

    def ask(self, kind: str, *names: str, version: str = "") -> list[Push]:
        return self.hear(self.session.ask(Ask(kind, names, version, node=Node("edge-1")), self.now))

    def hear(self, pushes: list[Push]) -> list[Push]:
        self.pushes += pushes
        return pushes

    def offer(self, snapshot: Target) -> list[Push]:
        return self.hear(self.session.offer(snapshot, self.now))

    def pop(self, kind: str) -> Push:
        push = self.pushes.pop(0)
        assert push.type == kind, push
        return push

    def ack(self, push: Push, *names: str) -> list[Push]:
        names = names or tuple(sorted(self.session.subscriptions[push.type].asked))
        return self.hear(self.session.ask(Ask(push.type, names, push.version, push.nonce), self.now))

    def nack(self, push: Push, why: str = "no", *names: str) -> list[Push]:
        names = names or tuple(sorted(self.session.subscriptions[push.type].asked))
        return self.hear(self.session.ask(Ask(push.type, names, "", push.nonce, why), self.now))

    def connect(self, snapshot: Target) -> None:
        """Take all of it."""
        self.offer(snapshot)
        self.ask(CDS)
        clusters = self.pop(CDS)
        self.ask(EDS, *snapshot.units[EDS])
        self.ack(clusters)
        if snapshot.units[EDS]:
            self.ack(self.pop(EDS))
        self.ask(LDS)
        self.ack(self.pop(LDS))
        self.ask(RDS, "edge")
        self.ack(self.pop(RDS))
        assert self.session.settled
        assert not self.pushes

    def agree(self) -> list[Push]:
        """Take everything that comes; what came."""
        seen = []
        while self.pushes:
            push = self.pushes.pop(0)
            seen.append(push)
            self.ack(push)
        return seen


def connected(snapshot: Target) -> Client:
    client = Client()
    client.connect(snapshot)
    return client


def hosts(push: Push) -> dict[str, bytes]:
    return split(push.resources["edge"])[1]


def kinds(pushes: list[Push]) -> list[str]:
    return [push.type for push in pushes]


def test_a_first_client_is_told_everything_in_order() -> None:
    connected(target(iris="1", rose="1"))


def test_nothing_is_said_before_there_is_a_snapshot() -> None:
    client = Client()
    assert client.ask(CDS) == []
    assert kinds(client.offer(target(iris="1"))) == [CDS]


def test_an_empty_mesh_is_an_answer_too() -> None:
    empty = Target.of(Compiled({}, {}, {}, {}))
    client = Client()
    client.offer(empty)
    assert [push.resources for push in client.ask(CDS)] == [{}]
    client.ack(client.pop(CDS))
    assert [push.resources for push in client.ask(LDS)] == [{}]


def test_the_same_snapshot_again_says_nothing() -> None:
    client = connected(target(iris="1"))
    assert client.offer(target(iris="1")) == []
    assert client.session.settled


def test_of_endpoints_only_those_that_changed_are_sent() -> None:
    client = connected(target(iris="1:1:1", rose="1:1:1"))
    (push,) = client.offer(target(iris="1:1:1", rose="1:2:1"))
    assert (push.type, push.resources) == (EDS, {"model/rose": b"2"})
    assert client.ack(client.pop(EDS)) == []


def test_a_new_model_comes_as_cluster_then_endpoints_then_route() -> None:
    client = connected(target(iris="1"))
    (first,) = client.offer(target(iris="1", rose="1"))
    assert first.type == CDS
    pushes = client.hear(
        client.session.ask(
            Ask(EDS, ("model/iris", "model/rose"), nonce=client.session.subscriptions[EDS].nonce), client.now
        )
    )
    assert [(push.type, push.resources) for push in pushes] == [(EDS, {"model/rose": b"1"})]
    client.ack(client.pop(CDS))
    assert kinds(client.ack(client.pop(EDS))) == [RDS]


def test_routes_wait_for_a_cluster_whose_endpoints_are_not_asked_for_yet_but_not_for_ever() -> None:
    client = connected(target(iris="1"))
    client.offer(target(iris="1", rose="1"))
    assert client.ack(client.pop(CDS)) == []
    client.now += PATIENCE - 0.1
    assert client.session.tick(client.now) == []
    client.now += 0.2
    assert kinds(client.hear(client.session.tick(client.now))) == [RDS]


def test_a_model_that_goes_loses_its_route_before_its_cluster() -> None:
    client = connected(target(iris="1", rose="1"))
    client.offer(target(iris="1"))
    routes = client.pop(RDS)
    assert set(hosts(routes)) == {"everything", "iris"}
    (clusters,) = client.ack(routes)
    assert (clusters.type, set(clusters.resources)) == (CDS, {"mesh-router", "model/iris"})
    client.agree()
    assert client.session.settled


def test_a_cluster_that_changed_gets_its_endpoints_again_without_being_asked() -> None:
    client = connected(target(iris="1:1:1"))
    pushes = client.offer(target(iris="2:1:1"))
    assert [(push.type, "model/iris" in push.resources) for push in pushes] == [(CDS, True), (EDS, True)]


def test_a_stale_nonce_is_ignored() -> None:
    client = connected(target(iris="1:1:1"))
    old = client.session.subscriptions[EDS].nonce
    client.offer(target(iris="1:2:1"))
    assert client.session.ask(Ask(EDS, ("model/iris", "model/x"), "v", old), client.now) == []
    assert client.session.subscriptions[EDS].waiting
    assert client.session.subscriptions[EDS].asked == {"model/iris"}


def test_newer_snapshots_replace_those_that_wait() -> None:
    client = connected(target(iris="1:1:1"))
    client.offer(target(iris="1:2:1"))
    assert client.offer(target(iris="1:3:1")) == []
    assert client.offer(target(iris="1:4:1")) == []
    (push,) = client.ack(client.pop(EDS))
    assert push.resources == {"model/iris": b"4"}


def test_a_mute_client_blocks_nothing_for_ever_and_is_not_told_twice() -> None:
    client = connected(target(iris="1:1:1"))
    client.offer(target(iris="1:2:1"))
    client.now += PATIENCE
    assert client.session.tick(client.now) == []
    assert client.session.settled
    assert kinds(client.offer(target(iris="1:3:1"))) == [EDS]


def test_a_verdict_that_comes_late_counts() -> None:
    client = connected(target(iris="1:1:1"))
    client.offer(target(iris="1:2:1"))
    client.now += PATIENCE
    client.session.tick(client.now)
    assert client.ack(client.pop(EDS)) == []
    assert client.offer(target(iris="1:2:1")) == []


def test_what_does_not_exist_is_left_out() -> None:
    client = connected(target(iris="1:1:1"))
    nonce = client.session.subscriptions[EDS].nonce
    assert client.session.ask(Ask(EDS, ("model/iris", "model/x"), nonce=nonce), client.now) == []
    (push,) = client.session.offer(target(iris="1:2:1"), client.now)
    assert set(push.resources) == {"model/iris"}


def test_what_is_no_longer_asked_for_is_not_sent_and_sent_anew_when_it_is_again() -> None:
    client = connected(target(iris="1:1:1", rose="1:1:1"))
    subscription = client.session.subscriptions[EDS]
    client.session.ask(Ask(EDS, ("model/iris",), nonce=subscription.nonce), client.now)
    assert client.session.offer(target(iris="1:1:1", rose="1:2:1"), client.now) == []
    client.now += PATIENCE
    client.session.tick(client.now)
    pushes = client.session.ask(Ask(EDS, ("model/iris", "model/rose"), nonce=subscription.nonce), client.now)
    assert [push.resources for push in pushes] == [{"model/rose": b"2"}]


def test_after_a_restart_only_what_differs_is_sent() -> None:
    snapshot = target(iris="1")
    before = connected(snapshot).session.subscriptions
    client = Client()
    client.offer(snapshot)
    assert client.ask(CDS, version=before[CDS].version) == []
    assert kinds(client.ask(EDS, "model/iris", version=before[EDS].version)) == [EDS]
    assert client.ack(client.pop(EDS)) == []
    assert client.ask(LDS, version=before[LDS].version) == []
    assert client.ask(RDS, "edge", version=before[RDS].version) == []
    assert client.session.settled
    client.offer(target(iris="1:1:2"))
    assert set(hosts(client.pop(RDS))) == {"everything", "iris"}


def test_versions_are_made_of_the_contents_alone() -> None:
    one, two = connected(target(iris="1", rose="1")), connected(target(rose="1", iris="1"))
    for kind in (CDS, EDS, LDS, RDS):
        assert one.session.subscriptions[kind].version == two.session.subscriptions[kind].version


def test_one_that_comes_back_loses_the_route_before_the_cluster_of_what_went_meanwhile() -> None:
    before = connected(target(iris="1", rose="1")).session.subscriptions
    client = Client()
    client.offer(target(iris="1", lily="1"))
    assert client.ask(CDS, version=before[CDS].version) == []
    assert client.ask(EDS, "model/iris", "model/rose", version=before[EDS].version) == []
    assert client.ask(LDS, version=before[LDS].version) == []
    client.ask(RDS, "edge", version=before[RDS].version)
    routes = client.pop(RDS)
    assert set(hosts(routes)) == {"everything", "iris"}, "what it has, and no longer needs"
    client.ack(routes)
    clusters = client.pop(CDS)
    assert set(clusters.resources) == {"mesh-router", "model/iris", "model/lily"}


def test_one_that_comes_back_and_does_not_ask_after_routes_is_told_of_clusters_all_the_same() -> None:
    client = Client()
    client.offer(target(iris="1"))
    assert client.ask(CDS, version="of long ago") == []
    client.now += BRIEF
    assert kinds(client.hear(client.session.tick(client.now))) == [CDS]


class TestRefusals:
    """What the client does not take is found and left out; the rest goes on."""

    def drive(self, client: Client, *bad: bytes) -> list[Push]:
        """Refuse whatever has any of these; the pushes."""
        seen = []
        while client.pushes:
            push = client.pushes.pop(0)
            seen.append(push)
            assert len(seen) < 100, "it goes on for ever"
            if any(text in data for text in bad for data in push.resources.values()):
                client.nack(push, "Proto constraint validation failed")
            else:
                if push.type == CDS:
                    clusters = [name for name in push.resources if name != "mesh-router"]
                    nonce = client.session.subscriptions[EDS].nonce
                    client.hear(client.session.ask(Ask(EDS, tuple(sorted(clusters)), nonce=nonce), client.now))
                client.ack(push)
        assert client.session.settled
        return seen

    def quarantined(self, client: Client) -> set[str]:
        return {unit for _, unit, _ in client.session.quarantined()}

    def test_one_bad_host_among_many_is_found_and_the_others_are_served(self) -> None:
        client = connected(target())
        models = {f"m{number}": "1:1:1" for number in range(20)} | {"m7": "1:1:bad"}
        client.offer(target(**models))
        seen = self.drive(client, b"bad")
        assert self.quarantined(client) == {"edge/m7"}
        have = client.session.subscriptions[RDS].have
        assert set(have) == {"edge", "edge/everything"} | {f"edge/{name}" for name in models if name != "m7"}
        assert kinds(seen).count(RDS) <= 2 + 2 * 5

    def test_one_that_was_good_stays_as_it_was(self) -> None:
        client = connected(target(iris="1:1:1", rose="1:1:1"))
        client.offer(target(iris="1:1:bad", rose="1:1:2"))
        self.drive(client, b"bad")
        have = client.session.subscriptions[RDS].have
        assert have["edge/iris"] == host("iris", "1")
        assert have["edge/rose"] == host("rose", "2")

    def test_others_are_updated_while_one_is_refused_and_it_is_not_tried_again(self) -> None:
        client = connected(target(iris="1:1:1", rose="1:1:1"))
        client.offer(target(iris="1:1:bad", rose="1:1:1"))
        self.drive(client, b"bad")
        client.offer(target(iris="1:1:bad", rose="1:1:3"))
        (push,) = self.drive(client, b"bad")
        assert hosts(push)["rose"] == host("rose", "3")
        assert client.session.subscriptions[RDS].nacks == 1

    def test_when_it_has_changed_it_is_tried_again(self) -> None:
        client = connected(target(iris="1:1:1"))
        client.offer(target(iris="1:1:bad"))
        self.drive(client, b"bad")
        client.offer(target(iris="1:1:2"))
        self.drive(client, b"bad")
        assert self.quarantined(client) == set()
        assert client.session.subscriptions[RDS].have["edge/iris"] == host("iris", "2")

    def test_several_bad_ones_of_several_kinds(self) -> None:
        client = connected(target())
        models = {f"m{number}": "1:1:1" for number in range(9)}
        models |= {"m1": "bad:1:1", "m4": "1:1:bad", "m6": "1:bad:1", "m8": "1:1:bad"}
        client.offer(target(**models))
        self.drive(client, b"bad")
        assert self.quarantined(client) == {"model/m1", "edge/m4", "model/m6", "edge/m8"}
        have = client.session.subscriptions[RDS].have
        assert "edge/m1" not in have, "its cluster is not there"
        assert {"edge/m0", "edge/m2", "edge/m3", "edge/m5", "edge/m7"} <= set(have)

    def test_clusters_that_the_client_names_are_believed(self) -> None:
        client = connected(target())
        client.offer(target(a="1", b="1", c="1"))
        push = client.pop(CDS)
        (again,) = client.nack(push, "Error adding/updating cluster(s) model/b: no such policy")
        assert set(again.resources) == {"mesh-router", "model/a", "model/c"}
        assert self.quarantined(client) == {"model/b"}

    def test_a_cluster_that_was_good_stays_as_it_was_with_its_routes(self) -> None:
        client = connected(target(iris="1:1:1"))
        client.offer(target(iris="bad:1:2"))
        self.drive(client, b"bad")
        assert client.session.subscriptions[CDS].have["model/iris"] == b"1"
        assert "edge/iris" in client.session.subscriptions[RDS].have

    def test_a_refused_table_leaves_the_hosts_alone(self) -> None:
        client = connected(target(iris="1:1:1"))
        client.offer(target(table="\x0a\x04edgeb\x03bad", iris="1:1:2"))
        self.drive(client, b"bad")
        assert self.quarantined(client) == {"edge"}
        assert client.session.subscriptions[RDS].have["edge/iris"] == host("iris", "2")

    def test_the_refusal_is_told_with_the_clients_text(self) -> None:
        told: list[tuple[str, str, list[str]]] = []
        client = Client(Session(lambda *what: told.append(what)))
        client.connect(target())
        client.offer(target(listener="bad"))
        client.nack(client.pop(LDS), "Error adding/updating listener(s) edge: no such file")
        assert told == [(LDS, "Error adding/updating listener(s) edge: no such file", ["edge"])]
        assert client.session.subscriptions[LDS].have == {"edge": b"l"}
        assert client.session.settled


def test_one_who_answers_late_and_then_refuses_even_what_it_had_is_told_no_more() -> None:
    client = Client()
    client.connect(target(listener="1"))
    client.offer(target(listener="2"))
    client.pop(LDS)  # and no answer
    client.now += PATIENCE
    client.hear(client.session.tick(client.now))
    client.offer(target(listener="3"))
    said = 0
    while client.pushes:
        client.nack(client.pushes.pop(0))
        said += 1
        assert said < 20
    assert client.session.settled
