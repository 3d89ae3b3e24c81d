"""A replica as the router sees it: its record, its connection, its load and its health."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import Clock
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.resilience.health import BreakerState, ReplicaHealth
from inferloom.mesh.router.transport import Channel, give_up
from inferloom.mesh.telemetry.metrics_series import Codes

__all__ = ["Endpoint", "may_serve"]


def may_serve(replica: Replica, version: str) -> bool:
    """Whether a request for this version may go to it; one whose versions are not known is asked and answers itself."""
    return not replica.versions or replica.serves(version)


class Endpoint:
    """One replica of one model. Lives as long as its address and generation stay the same."""

    __slots__ = ("_clock", "active", "attempts", "channel", "health", "load", "replica")

    def __init__(
        self,
        replica: Replica,
        channel: Channel,
        clock: Clock,
        rng: random.Random,
        policy: TrafficPolicy,
        *,
        may_open: Callable[[Endpoint], bool],
        changed: Callable[[], None],
    ) -> None:
        self.replica = replica
        self.channel = channel
        self._clock = clock
        self.load = ReplicaLoad(clock.now(), policy.slow_start)
        self.health = ReplicaHealth(policy.health, rng, may_open=lambda: may_open(self), changed=changed)
        self.attempts = Codes()  # so far, for its metrics: they go when it goes
        self.active: set[Any] = set()  # calls in flight, so that they can be given up
        channel.users += 1
        channel.on_reachable.add(self._reachable)
        channel.on_refused.add(self.health.refuse)

    def __repr__(self) -> str:
        return f"<Endpoint {self.replica.model}@{self.replica.id} {self.health!r} {self.load!r}>"

    def update(self, replica: Replica) -> None:
        """Take over a new record. One that stopped serving because of a problem loses its calls in flight at once:
        they are tried elsewhere, rather than waiting for a server that hangs."""
        before, self.replica = self.replica, replica
        if before.usable and replica.state is State.STARTING and replica.problem:
            give_up(self.active)

    def follow(self, policy: TrafficPolicy) -> None:
        """Go by another policy; its load and its breaker stay as they are."""
        self.load.slow_start = policy.slow_start
        self.health.follow(policy.health)

    def leave(self) -> None:
        """It is no longer in the catalog. Calls in flight may end; the channel is the pool's to close."""
        self.channel.on_reachable.discard(self._reachable)
        self.channel.on_refused.discard(self.health.refuse)
        self.channel.users -= 1

    def why_out(self, now: float) -> str:
        """Why no request goes to it, for people; empty where requests do."""
        replica, health = self.replica, self.health
        if replica.problem and replica.state is not State.SERVING:
            return f"{replica.state} ({replica.problem})"
        if replica.state is not State.SERVING:
            return str(replica.state)
        if not replica.healthy:
            return "its health check fails"
        if health.state is BreakerState.OPEN:
            left = health.open_until - now
            return f"open ({health.why}{f', {max(left, 0):.0f} s left' if left < 1e9 else ''})"
        if health.state is BreakerState.HALF_OPEN:
            return "half-open (its probing request is under way)"
        return ""

    def _reachable(self) -> None:
        self.health.reach(self._clock.now())
