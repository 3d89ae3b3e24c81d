"""The one health state of a replica: a circuit breaker, told as a story.

Closed: requests go to it. Five failures in a row, or half of at least twenty within ten seconds, and it is *open*:
nothing goes to it for a while, longer each time. When that time is over it is *half-open*: one real request at a time
decides. A success closes it, a failure opens it again. A cancellation, or shed load, does neither.

A replica whose connection is refused is open at once and stays so until its connection is back; then it, too, is
half-open: never send to a replica that refuses connections while another answers.

Every permit carries the generation of the state it was given in; a late answer of an older state is dropped
(the two-step permit and the generation counter are gobreaker's).

The registry's word, and the sidecar's, are not here: they are in the catalog, and only replicas usable by it are asked.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import StrEnum

from inferloom.mesh.call import Verdict
from inferloom.mesh.policy import Breaking

__all__ = ["BreakerState", "Permit", "ReplicaHealth"]

_HARMS = frozenset({Verdict.FAILURE, Verdict.RETRYABLE})
INFINITY = float("inf")


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit:
    """Leave to send one request. `done` is idempotent and must be called in `finally`."""

    __slots__ = ("_generation", "_health", "probe")

    def __init__(self, health: ReplicaHealth, generation: int, probe: bool) -> None:
        self._health: ReplicaHealth | None = health
        self._generation = generation
        self.probe = probe

    def done(self, outcome: Verdict, now: float) -> None:
        health, self._health = self._health, None
        if health is not None:
            health._done(self._generation, self.probe, outcome, now)


class ReplicaHealth:
    """The breaker of one replica of one model.

    Args:
        settings: when it opens and for how long.
        rng: draws the jitter.
        may_open: asked before failures open it: never eject so many that what is left cannot carry the load. A refused
            connection does not ask.
        changed: told after each change of state.
    """

    __slots__ = (
        "_changed",
        "_ejections",
        "_failures",
        "_healthy_since",
        "_may_open",
        "_probing",
        "_rng",
        "_settings",
        "_window_at",
        "_window_bad",
        "_window_bad_before",
        "_window_ok",
        "_window_ok_before",
        "generation",
        "open_until",
        "reachable",
        "state",
        "why",
    )

    def __init__(
        self,
        settings: Breaking,
        rng: random.Random,
        *,
        may_open: Callable[[], bool] = lambda: True,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._may_open = may_open
        self._changed = changed
        self.state = BreakerState.CLOSED
        self.generation = 0
        self.open_until = 0.0
        self.reachable = True
        self.why = ""
        self._failures = 0  # in a row
        self._ejections = 0
        self._healthy_since = -INFINITY
        self._probing = False
        self._window_at = -INFINITY
        self._window_ok = self._window_bad = self._window_ok_before = self._window_bad_before = 0

    def __repr__(self) -> str:
        until = f" until {self.open_until:.1f}" if self.state is BreakerState.OPEN else ""
        return (
            f"<ReplicaHealth {self.state}{until} generation={self.generation} failures={self._failures} {self.why!r}>"
        )

    def follow(self, settings: Breaking) -> None:
        """Go by other settings from now on; its state, and what it has counted, stay."""
        self._settings = settings

    def admits(self, now: float) -> bool:
        """Whether a request may go to it now. Moves an open breaker whose time is over to half-open."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.OPEN:
            if now < self.open_until:
                return False
            self._enter(BreakerState.HALF_OPEN)
        return not self._probing

    def begin(self) -> Permit:
        """Take leave to send one request. Ask `admits` first; without it the request is a last resort.

        A last resort heals as a probing request does. Where it fails while the breaker is open nothing changes: many may
        fail at once, and each would make the time out longer.
        """
        probe = self.state is BreakerState.HALF_OPEN and not self._probing
        if probe:
            self._probing = True
            self._changed()
        return Permit(self, self.generation, probe)

    def refuse(self, why: str) -> None:
        """Its connection is refused, or broke: open until `reach`."""
        self.reachable = False
        self.why = why
        if self.state is not BreakerState.OPEN or self.open_until != INFINITY:
            self.open_until = INFINITY
            self._enter(BreakerState.OPEN)

    def reach(self, now: float) -> None:
        """Its connection is up. Half-open where it was the connection that kept it out."""
        self.reachable = True
        if self.state is BreakerState.OPEN and self.open_until == INFINITY:
            self.open_until = now
            self._enter(BreakerState.HALF_OPEN)

    def _done(self, generation: int, probe: bool, verdict: Verdict, now: float) -> None:
        if generation != self.generation:
            return
        if probe:
            self._probing = False
        if self.state is not BreakerState.CLOSED:
            if verdict is Verdict.SUCCESS:
                self._healthy_since = now
                self.reachable = True
                self._clear_window(now)
                self.why = ""
                self._enter(BreakerState.CLOSED)
            elif verdict in _HARMS and self.state is BreakerState.HALF_OPEN:
                self._open(now, "the probing request failed")
            elif probe:
                self._changed()
            return
        if verdict is Verdict.SUCCESS:
            self._failures = 0
            self._roll(now)
            self._window_ok += 1
        elif verdict in _HARMS:
            self._failures += 1
            self._roll(now)
            self._window_bad += 1
            self._judge(now)

    def _judge(self, now: float) -> None:
        settings = self._settings
        bad = self._window_bad + self._window_bad_before
        total = bad + self._window_ok + self._window_ok_before
        if self._failures >= settings.consecutive:
            why = f"{self._failures} failures in a row"
        elif total >= settings.rate_requests and bad >= settings.rate * total:
            why = f"{bad} of {total} requests failed"
        else:
            return
        if self._may_open():
            self._open(now, why)

    def _open(self, now: float, why: str) -> None:
        settings = self._settings
        if now - self._healthy_since > settings.forget and self._healthy_since != -INFINITY:
            self._ejections = 0
        self._healthy_since = -INFINITY  # over: a probing request that fails later must not forget again
        self._ejections += 1
        spread = 1 + settings.jitter * (2 * self._rng.random() - 1)
        self.open_until = now + min(settings.base * self._ejections * spread, settings.longest)
        self.why = why
        self._enter(BreakerState.OPEN)

    def _enter(self, state: BreakerState) -> None:
        self.state = state
        self.generation += 1
        self._probing = False
        self._failures = 0
        self._changed()

    def _roll(self, now: float) -> None:
        """Two half-windows: the older falls off as a whole."""
        half = self._settings.window / 2
        passed = now - self._window_at
        if passed < half:
            return
        if passed < 2 * half:
            self._window_ok_before, self._window_bad_before = self._window_ok, self._window_bad
        else:
            self._window_ok_before = self._window_bad_before = 0
        self._window_ok = self._window_bad = 0
        self._window_at = now

    def _clear_window(self, now: float) -> None:
        self._window_ok = self._window_bad = self._window_ok_before = self._window_bad_before = 0
        self._window_at = now
