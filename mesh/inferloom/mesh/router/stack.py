"""The stack: the life of a request, outermost layer first. Assembled here and nowhere else.

    admit       bounds the bytes in flight of the whole process, before anything is spent on a request
    retry       spends the model's budget on another try, at another replica where there is one
    attempt     one replica, one try: picks by load among those whose health admits them, and tells both how it went

The deadline is no layer of its own: it is part of the call, absolute, and every layer looks at it before it starts work.
Splits, hedges and quotas will sit between admit and retry.
"""

from __future__ import annotations

import random

from inferloom.mesh.call import Call, Handler, Reply
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import Exhausted, NoReplica
from inferloom.mesh.resilience.retry import backoff, may_retry
from inferloom.mesh.router.attempt import Attempt, attempt_once
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.telemetry.metrics import RouterMetrics
from inferloom.mesh.telemetry.tracing import Tracing

__all__ = ["Admission", "assemble"]


class Admission:
    """Bytes in flight of this process.

    Args:
        most: bytes; 64 messages of 64 MiB would be 4 GiB.
    """

    __slots__ = ("bytes", "most", "requests")

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self.requests = 0

    def take(self, size: int) -> None:
        """Room for a message of `size` bytes; give it back in `finally`.

        Raises:
            Exhausted: there is none now ("shed"), or never can be ("size").
        """
        if self.bytes + size > self.most:
            if size > self.most:
                raise Exhausted(f"a message of {size} bytes exceeds this process's bound of {self.most}", reason="size")
            raise Exhausted(
                f"{self.bytes + size} bytes in flight would exceed this process's bound of {self.most}",
                reason="shed",
                pushback=0.1,
            )
        self.bytes += size
        self.requests += 1

    def give(self, size: int) -> None:
        """The message is answered, or has been passed on."""
        self.bytes -= size
        self.requests -= 1

    def layer(self, inner: Handler) -> Handler:
        async def admit(call: Call) -> Reply:
            size = len(call.payload)
            self.take(size)
            try:
                return await inner(call)
            finally:
                self.give(size)

        return admit


def retrying(pool: Pool, clock: Clock, rng: random.Random, metrics: RouterMetrics, tracing: Tracing) -> Handler:
    """Attempts until one answers, the budget is empty, or there is no sense in another."""

    attempt = tracing.attempt(attempt_once)

    async def retry(call: Call) -> Reply:
        group = pool.group(call.model)
        policy, budget = group.policy, group.budget
        budget.earn()
        metadata = call.metadata
        last: Attempt | None = None
        tried: tuple[Endpoint, ...] = ()
        for number in range(1, policy.retry.attempts + 1):
            try:
                endpoint = group.choose(call, clock.now(), tried)
            except NoReplica:
                if last is not None:
                    raise last.error from None
                raise
            answer = await attempt(endpoint, call, policy, clock, metadata)
            if type(answer) is Reply:
                return answer
            assert isinstance(answer, Attempt)
            last = answer
            metrics.attempt_failed(call.model, endpoint.replica.id, answer.error.code)
            now = clock.now()
            if number == policy.retry.attempts or not may_retry(answer.verdict, answer.sent, call, policy):
                break
            wait = backoff(policy.retry, number, answer.pushback, rng)
            if wait is None or call.deadline - now <= wait or not budget.spend(now):
                break
            metrics.retried(call.model)
            tried += (endpoint,)
            if wait:
                await clock.sleep(wait)
        assert last is not None
        raise last.error

    return retry


def assemble(
    pool: Pool, admission: Admission, clock: Clock, rng: random.Random, metrics: RouterMetrics, tracing: Tracing
) -> Handler:
    """The whole stack; tracing goes outermost, and around each attempt."""
    handler = admission.layer(retrying(pool, clock, rng, metrics, tracing))
    for layer in reversed(tracing.layers):
        handler = layer(handler)
    return handler
