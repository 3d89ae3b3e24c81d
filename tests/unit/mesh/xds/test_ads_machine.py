"""Whatever happens in whatever order, a client that answers ends up with the newest snapshot less what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS, Ask, Node, Push
from inferloom.mesh.xds.route_hosts import join, split
from inferloom.mesh.xds.session import PATIENCE, Session
from inferloom.mesh.xds.target import Target

MODELS = ("a", "b", "c", "d")
BAD = b"bad"
FORMS = st.sampled_from(("", "1", "2", "bad"))  # "": there is none
MODEL = st.tuples(FORMS, st.sampled_from(("1", "2")), FORMS)  # cluster, endpoints, route
Snapshot = dict[str, tuple[str, str, str]]


@dataclass(frozen=True)
class Compiled:
    clusters: Mapping[str, bytes]
    endpoints: Mapping[str, bytes]
    listeners: Mapping[str, bytes]
    routes: Mapping[str, bytes]


def field(number: int, text: str) -> bytes:
    return bytes((number << 3 | 2, len(text))) + text.encode()


def compiled(snapshot: Snapshot) -> Compiled:
    """A model with a cluster has endpoints, and one with a cluster may have a route."""
    there = {name: forms for name, forms in snapshot.items() if forms[0]}
    hosts = {name: field(1, name) + field(2, name) + field(15, forms[2]) for name, forms in there.items() if forms[2]}
    hosts["rest"] = field(1, "rest") + field(2, "*")
    return Compiled(
        {f"model/{name}": f"{name}{forms[0]}".encode() for name, forms in there.items()},
        {f"model/{name}": forms[1].encode() for name, forms in there.items()},
        {"edge": b"l"},
        {"edge": join(field(1, "edge"), hosts)},
    )


class Envoy:
    """Takes what is not bad, all or nothing; acknowledges clusters only once those that are new have their endpoints."""

    def __init__(self) -> None:
        self.clusters: dict[str, bytes] = {}
        self.endpoints: dict[str, bytes] = {}
        self.listeners: dict[str, bytes] = {}
        self.hosts: dict[str, bytes] = {}
        self.warming: set[str] = set()
        self.nonces: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.held: Ask | None = None

    def first(self) -> list[Ask]:
        """What it asks on a new stream."""
        self.nonces, self.held, self.warming = {}, None, set()
        asks = [Ask(CDS, version=self.versions.get(CDS, ""), node=Node("e"))]
        if self.clusters:
            asks.append(Ask(EDS, tuple(sorted(self.clusters)), self.versions.get(EDS, "")))
        asks.append(Ask(LDS, version=self.versions.get(LDS, "")))
        if self.listeners:
            asks.append(Ask(RDS, ("edge",), self.versions.get(RDS, "")))
        return asks

    def take(self, push: Push) -> list[Ask]:
        known = self.nonces.get(push.type)
        assert known is None or int(push.nonce) > int(known)
        self.nonces[push.type] = push.nonce
        names = {EDS: tuple(sorted(self.clusters)), RDS: ("edge",)}.get(push.type, ())
        if any(BAD in data for data in push.resources.values()):
            return [Ask(push.type, names, self.versions.get(push.type, ""), push.nonce, "bad")]
        self.versions[push.type] = push.version
        verdict = Ask(push.type, names, push.version, push.nonce)
        if push.type == CDS:
            return self._clusters(dict(push.resources), verdict)
        if push.type == EDS:
            self.endpoints.update({name: data for name, data in push.resources.items() if name in self.clusters})
            self.warming -= push.resources.keys()
            if self.held is not None and not self.warming:
                held, self.held = self.held, None
                return [held, verdict]
        elif push.type == LDS:
            self.listeners = dict(push.resources)
            return [verdict, Ask(RDS, ("edge",), self.versions.get(RDS, ""), self.nonces.get(RDS, ""))]
        else:
            self.hosts = split(push.resources["edge"])[1]
        return [verdict]

    def _clusters(self, clusters: dict[str, bytes], verdict: Ask) -> list[Ask]:
        self.warming |= {name for name, data in clusters.items() if self.clusters.get(name) != data}
        self.warming &= clusters.keys()
        asked = bool(self.clusters)
        changed = clusters.keys() != self.clusters.keys()
        self.clusters = clusters
        self.endpoints = {name: data for name, data in self.endpoints.items() if name in clusters}
        asks = []
        if changed and (clusters or asked):
            asks.append(Ask(EDS, tuple(sorted(clusters)), self.versions.get(EDS, ""), self.nonces.get(EDS, "")))
        if self.warming:
            self.held = verdict
            return asks
        return [*asks, verdict]


class Machine(RuleBasedStateMachine):
    """Pushes and requests wait in queues, as on a wire, until a rule moves them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.envoy = Envoy()
        self.session = Session()
        self.snapshot: Snapshot = {}
        self.lost = False  # a verdict was not waited for
        self.to_envoy: list[Push] = []
        self.to_server: list[Ask] = []

    @initialize(snapshot=st.dictionaries(st.sampled_from(MODELS), MODEL))
    def begin(self, snapshot: Snapshot) -> None:
        self.offer(snapshot)
        self.to_server = self.envoy.first()

    @rule(snapshot=st.dictionaries(st.sampled_from(MODELS), MODEL))
    def offer(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.to_envoy += self.session.offer(Target.of(compiled(snapshot)), self.now)

    @rule()
    def server_reads(self) -> None:
        if self.to_server:
            self.to_envoy += self.session.ask(self.to_server.pop(0), self.now)

    @rule()
    def envoy_reads(self) -> None:
        if self.to_envoy:
            self.to_server += self.envoy.take(self.to_envoy.pop(0))

    @rule()
    def reconnects(self) -> None:
        self.session, self.to_envoy = Session(), []
        self.offer(self.snapshot)
        self.to_server = self.envoy.first()

    @rule(seconds=st.sampled_from((0.1, PATIENCE)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.lost |= self.session.due is not None and self.now >= self.session.due
        self.to_envoy += self.session.tick(self.now)

    @rule()
    def comes_to_rest(self) -> None:
        for _ in range(400):
            if self.to_envoy:
                self.envoy_reads()
            elif self.to_server:
                self.server_reads()
            elif self.session.due is not None:
                self.time_passes(PATIENCE)
            else:
                break
        else:
            raise AssertionError("it does not come to rest")
        self.check()
        self.lost = False

    def check(self) -> None:
        want = compiled(self.snapshot)
        good = {name for name, data in want.clusters.items() if BAD not in data}
        assert good <= self.envoy.clusters.keys() <= want.clusters.keys()
        for name in good:
            assert self.envoy.clusters[name] == want.clusters[name]
            assert self.envoy.endpoints[name] == want.endpoints[name]
        hosts = split(want.routes["edge"])[1]
        served = {
            name for name, data in hosts.items() if BAD not in data and (name == "rest" or f"model/{name}" in good)
        }
        assert served <= self.envoy.hosts.keys() <= hosts.keys()
        for name in served:
            assert self.envoy.hosts[name] == hosts[name]

    @invariant()
    def every_route_leads_to_a_cluster(self) -> None:
        missing = {f"model/{name}" for name in self.envoy.hosts if name != "rest"} - self.envoy.clusters.keys()
        assert not missing or self.lost, missing


Machine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
TestMachine = Machine.TestCase
