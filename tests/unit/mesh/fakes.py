"""Channels that answer from a script, and a router's stack over them, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from grpc import StatusCode

from inferloom.mesh.call import Call, Metadata, Reply
from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.group import Group
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.router.stack import Admission, assemble
from inferloom.mesh.router.transport import Channel
from inferloom.mesh.telemetry.metrics import RouterMetrics
from inferloom.mesh.telemetry.tracing import Tracing

T = TypeVar("T")
OK = Reply(b"ok")
DEFAULT = TrafficPolicy()
REQUEST = bytes(pb.ModelInferRequest(model_name="iris").SerializeToString())


@dataclass(frozen=True)
class Sent:
    """One request as a channel got it."""

    method: str
    payload: bytes
    timeout: float
    metadata: Metadata


Answer = Callable[[Sent], Awaitable[Reply]]


async def ok(sent: Sent) -> Reply:
    return OK


def fails(error: Exception) -> Answer:
    async def answer(sent: Sent) -> Reply:
        raise error

    return answer


def after(clock: ManualClock, seconds: float, outcome: Reply | BaseException = OK) -> Answer:
    """Answers after so many seconds; at the attempt's time-out as grpc does."""

    async def answer(sent: Sent) -> Reply:
        if seconds > sent.timeout:
            await clock.sleep(sent.timeout)
            raise ReplicaError(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        await clock.sleep(seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return answer


class FakeChannel(Channel):
    """A channel without a connection."""

    def __init__(self, address: str, answer: Answer = ok) -> None:
        self.address = address
        self.users = 0
        self.on_reachable = set()
        self.on_refused = set()
        self.answer = answer
        self.sent: list[Sent] = []
        self.closes: list[float | None] = []

    async def send(self, method: str, payload: bytes, timeout: float, metadata: Metadata, active: set[Any]) -> Reply:
        sent = Sent(method, payload, timeout, metadata)
        self.sent.append(sent)
        active.add(sent)
        try:
            return await self.answer(sent)
        finally:
            active.discard(sent)

    async def close(self, grace: float | None = None) -> None:
        self.closes.append(grace)


def replica(id: str = "a", **changes: Any) -> Replica:  # noqa: A002
    port = 8000 + sum(id.encode())
    return replace(Replica("iris", id, "10.0.0.1", port, versions=("1",)), **changes)


def call(clock: ManualClock, seconds: float = 1.0, **changes: Any) -> Call:
    """A call of `iris` with so many seconds left."""
    return Call("iris", "", MODEL_INFER.path, REQUEST, (), clock.now() + seconds)._replace(**changes)


class FakeMesh:
    """The router's stack over fake channels; `answers` is by replica id."""

    def __init__(
        self,
        replicas: Iterable[Replica],
        answers: dict[str, Answer] | None = None,
        policy: TrafficPolicy = DEFAULT,
        *,
        clock: ManualClock | None = None,
        most: int = 1 << 20,
        seed: int = 1,
        zone: str = "",
    ) -> None:
        self.policy = policy
        self.clock = clock or ManualClock()
        self.channels: list[FakeChannel] = []
        rng = random.Random(seed)
        self.pool = Pool(self._connect, lambda _: self.policy, self.clock, rng, zone)
        self.metrics = RouterMetrics()
        self.admission = Admission(most)
        self.handle = assemble(self.pool, self.admission, self.clock, rng, self.metrics, Tracing())
        self.apply(*replicas)
        for key, answer in (answers or {}).items():
            self.channel(key).answer = answer

    def _connect(self, address: str) -> FakeChannel:
        self.channels.append(FakeChannel(address))
        return self.channels[-1]

    def repolicy(self, policy: TrafficPolicy) -> None:
        """As if a document had changed."""
        self.policy = policy
        self.pool.repolicy(["iris"])

    def apply(self, *replicas: Replica) -> None:
        self.pool.apply(Catalog.build(replicas, self.pool.catalog))

    @property
    def group(self) -> Group:
        return self.pool.groups["iris"]

    def endpoint(self, key: str) -> Endpoint:
        return self.group.endpoints[key]

    def channel(self, key: str) -> FakeChannel:
        channel = self.endpoint(key).channel
        assert isinstance(channel, FakeChannel)
        return channel

    def sent(self, key: str) -> int:
        return len(self.channel(key).sent)

    async def run(self, awaited: Coroutine[Any, Any, T], seconds: float = 60.0) -> T:
        """Await something, moving the clock until it is done (at most so many seconds)."""
        task = asyncio.ensure_future(awaited)
        for _ in range(5):
            await asyncio.sleep(0)
        step = 0.0
        while not task.done() and step < seconds:
            await self.clock.advance(min(0.05, seconds))
            step += 0.05
        assert task.done(), "it hangs"
        return task.result()

    async def ask(self, seconds: float = 1.0, **changes: Any) -> Reply:
        return await self.run(self.handle(call(self.clock, seconds, **changes)))

    def at_rest(self) -> bool:
        """Nothing is held any more: bytes, requests in flight, probing requests."""
        quiet = not self.admission.bytes and not self.admission.requests
        return quiet and all(
            not e.load.in_flight and not e.active and not e.health._probing for e in self.group.endpoints.values()
        )
