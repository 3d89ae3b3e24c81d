"""The replicas of one model, and which of them may be asked now."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from inferloom.mesh.balance.picker import Picker
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Model
from inferloom.mesh.errors import ModelNotFound, NoReplica
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.resilience.budget import RetryBudget
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.endpoint import Endpoint, may_serve

__all__ = ["Group"]

INFINITY = float("inf")
SHOWN, MOST = 8, 300  # replicas that an error message explains, and characters for each


class Group:
    """Holds what the router keeps per model. `choose` is the request path: it reads a list made when something changed."""

    __slots__ = (
        "_closed",
        "_default",
        "_dirty",
        "_half_open",
        "_mixed",
        "_picker",
        "_recheck",
        "_sticky",
        "budget",
        "endpoints",
        "model",
        "policy",
    )

    def __init__(self, model: Model, policy: TrafficPolicy, picker: Picker, sticky: Picker, now: float) -> None:
        self.model = model
        self.policy = policy
        self.budget = RetryBudget(policy.retry, now)
        self.endpoints: dict[str, Endpoint] = {}  # by replica id
        self._picker = picker
        self._sticky = sticky
        self._closed: tuple[Endpoint, ...] = ()
        self._half_open: tuple[Endpoint, ...] = ()
        self._recheck = INFINITY
        self._default = ""
        self._mixed = False
        self._dirty = True

    def __repr__(self) -> str:
        return f"<Group {self.model.name} {list(self.endpoints.values())}>"

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
        """
        if self._dirty or now >= self._recheck:
            self._refresh(now)
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
        if half_open and not tried and half_open[0].health.admits(now):
            return half_open[0]
        if tried:
            candidates = [e for e in candidates if e not in tried] or candidates
        if not candidates:
            candidates = half_open or self._last_resort(call, version, now)
        return self._picker.pick(candidates, call, now)

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
