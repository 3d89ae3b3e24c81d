"""One stream of the aggregated discovery service as a state machine: requests, snapshots and time in, answers out.

A snapshot goes out in an order in which nothing is named before it is there, nor taken away while it is named (make before
break): clusters, old and new together, and their endpoints; listeners; routes; then the clusters without the old ones. Each
step waits for the client's verdict on the one before, but not for ever. What comes meanwhile replaces what still waits.
Clusters and endpoints are one step: Envoy says that it has taken a cluster once it has its endpoints.

A client that comes back from another stream with other clusters than it shall have is told of routes first: of those whose
clusters it has, as its asking after endpoints shows. So what is gone meanwhile is no longer named when it is taken away.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol has the rules; cases are those of grpc-go's xdsclient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS, Ask, Node, Push
from inferloom.mesh.xds.subscription import Subscription
from inferloom.mesh.xds.target import Target, Units, assemble, digest, model_of, owner

__all__ = ["BRIEF", "PATIENCE", "Session"]

PATIENCE = 5.0  # seconds that a step waits for the client
BRIEF = 0.5  # seconds that one who comes back has for asking after all it has; Envoy asks at once
STEPS = (RDS, CDS, EDS, LDS, RDS, CDS)
BACK, CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = range(5)
BEGIN = {CDS: BACK, EDS: ENDPOINTS, LDS: LISTENERS, RDS: ROUTES}
LAST = len(STEPS) - 1
IDLE = len(STEPS)
Told = Callable[[str, str, list[str]], None]  # type, text, the units that are to blame, if known


class Session:
    """What one client knows and is being told.

    Args:
        refused: called with each refusal.
        patience: seconds that a step waits for the client's verdict, or for its asking after a cluster's endpoints.
    """

    def __init__(self, refused: Told = lambda kind, why, units: None, patience: float = PATIENCE) -> None:
        self.node = Node()
        self.subscriptions: dict[str, Subscription] = {}
        self.target: Target | None = None
        self._newer: Target | None = None
        self._refused = refused
        self._patience = patience
        self._step = IDLE
        self._brief = False  # one who came back has not asked after all in time
        self._entered = 0.0  # when the present step began
        self._nonces = 0
        self._unasked: set[str] = set()  # clusters whose endpoints the client was given time to ask for, and did not
        self._sent_clusters: Mapping[str, frozenset[str]] = {}  # as they were when the last route table went out
        self._clusters_of: dict[str, frozenset[str]] = {}  # of the virtual hosts taken: what they send to

    @property
    def settled(self) -> bool:
        """Whether the client has been told all there is."""
        return self._step == IDLE

    @property
    def due(self) -> float | None:
        """When `tick` has something to do; None: not by time alone."""
        if self._step == IDLE:
            return None
        if pending := self._pending():
            return min(each.since for each in pending) + self._patience
        return self._entered + (BRIEF if self._step == BACK else self._patience)

    def quarantined(self) -> Iterator[tuple[str, str, str]]:
        """(type, unit, why) of what the client does not take."""
        for kind, subscription in self.subscriptions.items():
            for unit, refusal in subscription.refused.items():
                yield kind, unit, refusal.why

    def ask(self, ask: Ask, now: float) -> list[Push]:
        """A request of the client's. Returns what to answer."""
        if ask.node is not None:
            self.node = ask.node
        subscription = self.subscriptions.get(ask.type)
        if subscription is None:
            if ask.nonce:
                return []  # of another stream
            self.subscriptions[ask.type] = Subscription(ask.type, ask)
            self._back_to(ask.type, now)
            return self._advance(now)
        if ask.nonce != subscription.nonce:
            return []  # overtaken by a newer answer, whose verdict says all that this one does
        late = subscription.late
        if subscription.waiting:
            self._verdict(subscription, ask.error, now)
        if subscription.ask(ask.names) or late:
            self._back_to(ask.type, now)
        return self._advance(now)

    def offer(self, target: Target, now: float) -> list[Push]:
        """There is a newer snapshot. Returns what to say now."""
        self._newer = target
        return self._advance(now)

    def tick(self, now: float) -> list[Push]:
        """Time has passed: what the client has not answered is not waited for any longer."""
        if self.due is None or now < self.due:
            return []
        if pending := self._pending():
            for each in pending:
                each.late = now >= each.since + self._patience
        elif self._step == BACK:
            self._brief = True
        else:
            self._unasked.update(self._awaited())
        return self._advance(now)

    def _back_to(self, kind: str, now: float) -> None:
        """Something new is asked for: go through the steps from there on."""
        if kind in BEGIN and self.target is not None and BEGIN[kind] < self._step:
            self._enter(BEGIN[kind], now)

    def _enter(self, step: int, now: float) -> None:
        self._step, self._entered = step, now

    def _verdict(self, subscription: Subscription, error: str, now: float) -> None:
        if error:
            guilty = subscription.refuse(error)
            self._refused(subscription.kind, error, guilty)
            if subscription.kind == CDS and self._step == ENDPOINTS:
                self._step = CLUSTERS  # the rest of them, before what comes next
        else:
            new = subscription.taken()
            if subscription.kind == RDS:
                self._remember_clusters(new, self._sent_clusters)
            elif subscription.kind == CDS and self._step == ENDPOINTS and subscription.halved:
                self._step = CLUSTERS  # the other half
            elif subscription.kind == CDS and self._step == LAST and new:
                self._enter(CLUSTERS, now)  # taken late: endpoints and routes have gone past it

    def _remember_clusters(self, units: list[str], clusters_of: Mapping[str, frozenset[str]]) -> None:
        for unit in units:
            self._clusters_of[unit] = clusters_of.get(model_of(unit), frozenset())

    def _advance(self, now: float) -> list[Push]:
        said: list[Push] = []
        while True:
            if self._step == IDLE:
                if self._newer is None:
                    return said
                self.target, self._newer = self._newer, None
                for kind, subscription in self.subscriptions.items():
                    subscription.forget_groups()
                    subscription.forgive(self.target.units.get(kind, {}))
                self._enter(BACK, now)
            push = self._speak(STEPS[self._step], now) if self._step != BACK or self._returning() else None
            if push is not None:
                said.append(push)
            elif self._blocked():
                return said
            else:
                self._enter(self._step + 1, now)

    def _speak(self, kind: str, now: float) -> Push | None:
        subscription = self.subscriptions.get(kind)
        if subscription is None or (subscription.waiting and not subscription.late):
            return None
        assert self.target is not None
        before = subscription.answered
        trial = subscription.next(self._want(subscription), self.target.essential if kind == RDS else ())
        if trial is None:
            if kind == RDS and subscription.answered and not before:  # it has them from an earlier stream
                self._remember_clusters(list(subscription.have), self.target.clusters_of)
            return None
        if kind == CDS and (endpoints := self.subscriptions.get(EDS)) is not None:
            # A cluster that is new or has changed is used once its endpoints come, even if they are as before.
            endpoints.again.update(name for name, data in trial.items() if subscription.have.get(name) != data)
        if kind == RDS:
            self._sent_clusters = self.target.clusters_of  # its verdict may come when the target is another one
        self._nonces += 1
        version = subscription.send(trial, str(self._nonces), now)
        return Push(kind, version, subscription.nonce, assemble(trial) if kind == RDS else trial)

    def _pending(self) -> list[Subscription]:
        """Those whose verdict the present step waits for."""
        kinds = {CLUSTERS: (), ENDPOINTS: (CDS, EDS)}.get(self._step, STEPS[self._step : self._step + 1])
        found = [self.subscriptions[kind] for kind in kinds if kind in self.subscriptions]
        return [each for each in found if each.waiting and not each.late]

    def _blocked(self) -> bool:
        if self._step == BACK and not self._brief and self._returning() and not {EDS, RDS} <= self.subscriptions.keys():
            return True
        return bool(self._pending()) or (self._step == ENDPOINTS and bool(self._awaited()))

    def _returning(self) -> bool:
        """Whether the client has other clusters than it shall have, from an earlier stream."""
        assert self.target is not None
        clusters = self.subscriptions.get(CDS)
        if clusters is None or clusters.known or clusters.waiting or not clusters.claimed:
            return False
        return digest(clusters.acceptable(self.target.units[CDS])) != clusters.claimed

    def _awaited(self) -> set[str]:
        """Clusters that the client has and whose endpoints it has not asked for yet."""
        assert self.target is not None
        clusters, endpoints = self.subscriptions.get(CDS), self.subscriptions.get(EDS)
        if clusters is None:
            return set()
        asked = endpoints.asked if endpoints is not None else frozenset()
        return (clusters.have.keys() & self.target.units[EDS].keys()) - asked - self._unasked

    def _want(self, subscription: Subscription) -> dict[str, bytes]:
        assert self.target is not None
        kind = subscription.kind
        if kind == RDS:
            return self._routes(subscription, self.target.units[RDS])
        want = subscription.acceptable(self.target.units.get(kind, {}))
        if kind == CDS and (self._step < LAST or not self._free()):
            for name, data in subscription.have.items():
                want.setdefault(name, data)
        return want

    def _free(self) -> bool:
        """Whether the client's routes are those of the snapshot, so that what they no longer name can go."""
        routes = self.subscriptions.get(RDS)
        if routes is None:
            return True
        assert self.target is not None
        return not routes.waiting and routes.have == self._routes(routes, self.target.units[RDS])

    def _routes(self, routes: Subscription, units: Units) -> dict[str, bytes]:
        """Those whose clusters the client has: a model with a cluster that was refused stays as it was, or goes out."""
        want = routes.acceptable(units)
        want = {unit: data for unit, data in want.items() if owner(unit) in want}
        clusters = self.subscriptions.get(CDS)
        if clusters is None:
            return want
        assert self.target is not None
        endpoints = self.subscriptions.get(EDS)
        if self._step == BACK:
            known = set(endpoints.asked) if endpoints is not None else set()
        else:
            known = clusters.have.keys() - self._empty()
        for unit, data in list(want.items()):
            old = routes.have.get(unit)
            needed = self.target.clusters_of.get(model_of(unit), frozenset()) if "/" in unit else frozenset()
            if data == old and data != units[unit]:  # in quarantine, at its last good bytes
                if not self._clusters_of.get(unit, frozenset()) <= needed:
                    del want[unit]
            elif not needed <= known:
                kept = old is not None and self._clusters_of.get(unit, frozenset()) <= known & needed
                if kept and old is not None:
                    want[unit] = old
                else:
                    del want[unit]
        return want

    def _empty(self) -> set[str]:
        """Clusters that the client has no endpoints for, since it refused them."""
        endpoints = self.subscriptions.get(EDS)
        return endpoints.refused.keys() - endpoints.have.keys() if endpoints is not None else set()
