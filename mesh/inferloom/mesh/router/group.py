"""The replicas of one model, and which of them may be asked now."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inferloom.mesh.balance.kinds import Pickers
from inferloom.mesh.balance.locality import in_zone
from inferloom.mesh.balance.picker import Picker
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Model
from inferloom.mesh.errors import Exhausted, ModelNotFound, NoReplica
from inferloom.mesh.oip import DESCRIBING
from inferloom.mesh.policy import Locality, TrafficPolicy
from inferloom.mesh.resilience.budget import RetryBudget
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.endpoint import Endpoint, may_serve
from inferloom.mesh.telemetry.metrics_series import Layers

__all__ = ["Group"]

INFINITY = float("inf")
SHOWN, MOST = 8, 300  # replicas that an error message explains, and characters for each
PUSHBACK = 0.05  # seconds a caller that is turned away should wait


class Group:
    """Holds what the router keeps per model. `choose` is the request path: it reads a list made when something changed."""

    __slots__ = (
        "_affinity",
        "_closed",
        "_default",
        "_dirty",
        "_half_open",
        "_here",
        "_mixed",
        "_most",
        "_picker",
        "_pickers",
        "_recheck",
        "_special",
        "_sticky",
        "_zone",
        "budget",
        "endpoints",
        "layers",
        "model",
        "policy",
    )

    def __init__(
        self, model: Model, policy: TrafficPolicy, pickers: Pickers, sticky: Picker, now: float, zone: str = ""
    ) -> None:
        self.model = model
        self.layers = Layers()
        self.budget = RetryBudget(policy.retry, now)
        self.endpoints: dict[str, Endpoint] = {}  # by replica id
        self._pickers = pickers
        self._sticky = sticky
        self._here = zone
        self._take_over(policy)
        self._closed: tuple[Endpoint, ...] = ()
        self._half_open: tuple[Endpoint, ...] = ()
        self._recheck = INFINITY
        self._default = ""
        self._mixed = False
        self._dirty = True

    def __repr__(self) -> str:
        return f"<Group {self.model.name} {list(self.endpoints.values())}>"

    def follow(self, policy: TrafficPolicy) -> None:
        """Go by another policy. What is known of the replicas stays, and so does what was spent on retries."""
        if policy == self.policy:
            return
        self._take_over(policy)
        self.budget.follow(policy.retry)
        for endpoint in self.endpoints.values():
            endpoint.follow(policy)

    @property
    def in_flight(self) -> int:
        """Requests, streams and mirrors' copies under way at its replicas, from this process."""
        return sum(endpoint.load.in_flight for endpoint in self.endpoints.values())

    def changed(self) -> None:
        """Something about a replica changed: the next request looks again."""
        self._dirty = True

    def may_open(self, asking: Endpoint) -> bool:
        """Whether failures may take `asking` out: at least half of the usable replicas, and one, stay closed.

        With two replicas one may go; a lone replica never does, for a failing answer is better than none.
        """
        usable = [e for e in self.endpoints.values() if e.replica.usable and e.health.reachable]
        others = sum(e.health.state is BreakerState.CLOSED for e in usable if e is not asking)
        return others >= max(1, (len(usable) + 1) // 2)

    def choose(self, call: Call, now: float, tried: Collection[Endpoint] = ()) -> Endpoint:
        """The replica for one attempt.

        A half-open one that waits for its probing request goes first, with a first attempt only: it is what decides
        whether the replica is back. Replicas already tried are avoided while there are others.

        Raises:
            NoReplica: none may be used.
            Exhausted: as many requests as the policy allows are under way ("shed").
        """
        if self._dirty or now >= self._recheck:
            self._refresh(now)
        if self._most and self.in_flight >= self._most and call.method not in DESCRIBING:
            raise self._full()
        candidates: Sequence[Endpoint] = self._closed
        half_open: Sequence[Endpoint] = self._half_open
        version = call.version
        if not version and self._mixed:
            version = self._default
        if version:
            candidates = [e for e in candidates if may_serve(e.replica, version)]
            half_open = [e for e in half_open if may_serve(e.replica, version)]
        if call.affinity is not None:
            # Where it belongs to a half-open one it is that one's probing request: a model may have no other traffic.
            candidates = [*candidates, *(e for e in half_open if e not in tried and e.health.admits(now))]
            if not candidates:
                candidates = self._last_resort(call, version, now)
            return self._sticky.pick(candidates, call, now)
        if self._special:
            chosen, candidates, half_open = self._specially(call, candidates, half_open, now, tried)
            if chosen is not None:
                return chosen
        if half_open and not tried and half_open[0].health.admits(now):
            return half_open[0]
        if tried:
            candidates = [e for e in candidates if e not in tried] or candidates
        if not candidates:
            candidates = half_open or self._last_resort(call, version, now)
        return self._picker.pick(candidates, call, now)

    def _specially(
        self,
        call: Call,
        closed: Sequence[Endpoint],
        half_open: Sequence[Endpoint],
        now: float,
        tried: Collection[Endpoint],
    ) -> tuple[Endpoint | None, Sequence[Endpoint], Sequence[Endpoint]]:
        """What the policy's locality and affinity make of the candidates: the one it must be, or those that are left."""
        if self._zone:
            near = [e for e in closed if e not in tried and in_zone(e.replica.locality, self._zone)]
            if near:
                closed = near
                half_open = [e for e in half_open if in_zone(e.replica.locality, self._zone)]
        if self._affinity:
            key = next((value for name, value in call.metadata if name == self._affinity), "")
            able = [e for e in (*closed, *(e for e in half_open if e.health.admits(now))) if e not in tried]
            if key and able:
                one = call._replace(affinity=key.encode() if isinstance(key, str) else key)
                return self._sticky.pick(able, one, now), closed, half_open
        return None, closed, half_open

    def _take_over(self, policy: TrafficPolicy) -> None:
        self.policy = policy
        self._picker = self._pickers[policy.balancing]
        self._most = policy.concurrency
        self._affinity = policy.affinity
        self._zone = self._here if policy.locality is Locality.PREFER else ""
        self._special = bool(self._zone or self._affinity)

    def _full(self) -> Exhausted:
        told = f"{self._most} requests of '{self.model.name}' are in flight, as many as its policy allows (concurrency)"
        return Exhausted(told, reason="shed", pushback=PUSHBACK)

    def _refresh(self, now: float) -> None:
        self._dirty = False
        closed: list[Endpoint] = []
        half_open: list[Endpoint] = []
        recheck = INFINITY
        for endpoint in self.endpoints.values():
            if not endpoint.replica.usable:
                continue
            health = endpoint.health
            if health.admits(now):
                (closed if health.state is BreakerState.CLOSED else half_open).append(endpoint)
            elif health.state is BreakerState.OPEN:
                recheck = min(recheck, health.open_until)
        self._closed, self._half_open, self._recheck = tuple(closed), tuple(half_open), recheck
        self._default = self.model.default_version
        # Versions of a service live on replicas of their own; a Triton has all of its model's.
        self._mixed = not all(may_serve(e.replica, self._default) for e in self.endpoints.values())
        self._dirty = False

    def _last_resort(self, call: Call, version: str, now: float) -> list[Endpoint]:
        """Replicas that failures, not a dead connection, have taken out: better than no answer."""
        serving = [e for e in self.endpoints.values() if e.replica.usable]
        able = [e for e in serving if may_serve(e.replica, version)]
        if serving and not able and version not in self.model.versions:
            have = ", ".join(self.model.versions) or "none"
            asked = version if version.isalnum() and len(version) <= 40 else repr(version[:40])
            raise ModelNotFound(f"{call.model}:{asked}", [f"{call.model} with version {have}"])
        if alive := [e for e in able if e.health.reachable]:
            return alive
        raise NoReplica(self.explain(now))

    def explain(self, now: float) -> str:
        """How many replicas there are and why each is out; of many, the first: a status has room for 8 KiB."""
        count = len(self.endpoints)
        shown = sorted(self.endpoints.items())[:SHOWN]
        each = "; ".join(f"{key} {e.why_out(now)[:MOST] or 'closed'}" for key, e in shown)
        more = f"; and {count - SHOWN} more" if count > SHOWN else ""
        return f"no replica of '{self.model.name}' can be used; {count} registered: {each}{more}"
