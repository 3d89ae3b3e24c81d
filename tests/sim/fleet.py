"""A fleet of replicas in simulated time: events in a heap, no event loop, no sleeping.

The balancer is the project's own (ReplicaLoad, PowerOfTwoChoices, and ReplicaHealth where ejection is on); only the
replicas are made up: each says how long it takes, and whether it fails.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.balance.p2c import PowerOfTwoChoices
from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.catalog import Replica
from inferloom.mesh.policy import Breaking
from inferloom.mesh.resilience.health import BreakerState, Permit, ReplicaHealth

__all__ = ["Behaviour", "Choose", "Node", "Result", "peak_ewma", "round_robin", "simulate", "usual"]

CALL = Call("iris", "", "/m", b"", (), 0.0)
Behaviour = Callable[
    [float, random.Random], tuple[float, bool]
]  # time now -> seconds the answer takes, does it succeed


class Node:
    """A replica and what the router keeps for it."""

    def __init__(
        self, name: str, behaviour: Behaviour, may_open: Callable[[Node], bool] | None, rng: random.Random
    ) -> None:
        self.replica = Replica("iris", name, "h", 1)
        self.load = ReplicaLoad(float("-inf"))
        self.behaviour = behaviour
        self.health: ReplicaHealth | None = None
        if may_open is not None:
            self.health = ReplicaHealth(Breaking(), rng, may_open=lambda: may_open(self))


class Choose(Protocol):
    def __call__(self, nodes: Sequence[Node], now: float) -> Node: ...


@dataclass
class Result:
    """What callers saw."""

    good: int = 0
    bad: int = 0
    picked: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # seconds, of good answers

    @property
    def success(self) -> float:
        return self.good / (self.good + self.bad)

    def share(self, name: str) -> float:
        return self.picked[name] / sum(self.picked.values())

    def quantile(self, part: float) -> float:
        return sorted(self.latencies)[int(part * (len(self.latencies) - 1))]


def usual(median: float, spread: float = 0.3) -> Behaviour:
    """Log-normal answers around a median, in seconds; never a failure."""

    def behave(now: float, rng: random.Random) -> tuple[float, bool]:
        return rng.lognormvariate(math.log(median), spread), True

    return behave


def peak_ewma(rng: random.Random) -> Choose:
    picker = PowerOfTwoChoices(rng)
    return lambda nodes, now: picker.pick(nodes, CALL, now)


def round_robin(rng: random.Random) -> Choose:
    turns = iter(range(1 << 62))
    return lambda nodes, now: nodes[next(turns) % len(nodes)]


def simulate(
    behaviours: Sequence[Behaviour],
    choose: Callable[[random.Random], Choose],
    *,
    rate: float,
    seconds: float,
    timeout: float,
    seed: int,
    ejection: bool = False,
    detail: Callable[[float, Node, bool], None] = lambda now, node, good: None,
) -> Result:
    """Poisson arrivals at `rate` a second; a call that takes longer than `timeout` seconds fails at it. No retries.

    Args:
        detail: told of each answer: when it came, from whom, and whether it was good.
    """
    rng = random.Random(seed)
    nodes: list[Node] = []

    def may_open(asking: Node) -> bool:
        closed = sum(n.health is not None and n.health.state is BreakerState.CLOSED for n in nodes if n is not asking)
        return closed >= max(1, (len(nodes) + 1) // 2)

    for number, behaviour in enumerate(behaviours):
        nodes.append(Node(str(number), behaviour, may_open if ejection else None, rng))
    picker, result = choose(rng), Result()
    events: list[tuple[float, int, Node, float, bool, Permit | None]] = []
    order = 0

    def finish(until: float) -> None:
        while events and events[0][0] <= until:
            at, _, node, took, good, permit = heapq.heappop(events)
            verdict = Verdict.SUCCESS if good else Verdict.FAILURE
            node.load.done(verdict, took, at)
            if permit is not None:
                permit.done(verdict, at)
            result.good += good
            result.bad += not good
            if good:
                result.latencies.append(took)
            detail(at, node, good)

    clock = 0.0
    while clock < seconds:
        finish(clock)
        half_open: list[Node] = []
        closed: list[Node] = []
        for node in nodes:
            if node.health is None or node.health.state is BreakerState.CLOSED:
                closed.append(node)
            elif node.health.admits(clock):
                half_open.append(node)
        node = half_open[0] if half_open else picker(closed or nodes, clock)
        permit = node.health.begin() if node.health is not None else None
        node.load.begin()
        took, good = node.behaviour(clock, rng)
        took, good = (timeout, False) if took > timeout else (took, good)
        order += 1
        heapq.heappush(events, (clock + took, order, node, took, good, permit))
        result.picked[node.replica.id] += 1
        clock += rng.expovariate(rate)
    finish(math.inf)
    return result
