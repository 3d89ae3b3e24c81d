"""The stack: the life of a request, outermost layer first. Assembled here and nowhere else.

    admit       bounds the bytes in flight of the whole process, before anything is spent on a request
    split       gives a request that names no version the one of its arm, and sends copies to mirrors
    retry       spends the model's budget on another try, at another replica where there is one
    attempt     one replica, one try: picks by load among those whose health admits them, and tells both how it went

The deadline is no layer of its own: it is part of the call, absolute, and every layer looks at it before it starts work.
"""

from __future__ import annotations

import random

from inferloom.mesh.call import Call, Handler, Reply
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import Exhausted, Forbidden, NoReplica
from inferloom.mesh.explain.story import current_story
from inferloom.mesh.resilience.retry import backoff, may_retry
from inferloom.mesh.router.admission import Admission
from inferloom.mesh.router.attempt import Attempt, attempt_once
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.explaining import Explaining
from inferloom.mesh.router.mirror import MARK
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.router.splitting import Splitting
from inferloom.mesh.telemetry.metrics import RouterMetrics
from inferloom.mesh.telemetry.tracing import Tracing

__all__ = ["Admission", "assemble"]


def retrying(pool: Pool, clock: Clock, rng: random.Random, metrics: RouterMetrics, tracing: Tracing) -> Handler:
    """Attempts until one answers, the budget is empty, or there is no sense in another."""

    attempt = tracing.attempt(attempt_once)

    async def retry(call: Call) -> Reply:
        group = pool.group(call.model)
        policy, budget, layers = group.policy, group.budget, group.layers
        budget.earn()
        metadata = call.metadata
        if not policy.idempotent and MARK in metadata and group.model.repeat is Repeat.NEVER:
            raise Forbidden(f"'{call.model}' has effects, and this request is a mirror's copy: it must change nothing")
        last: Attempt | None = None
        tried: tuple[Endpoint, ...] = ()
        since = clock.now()  # when the time began that is not an attempt's
        if (story := current_story.get()) is not None and not story.entered:
            story.entered = since
        try:
            for number in range(1, policy.retry.attempts + 1):
                try:
                    endpoint = group.choose(call, clock.now(), tried)
                except (NoReplica, Exhausted):
                    if last is not None:
                        raise last.error from None
                    raise
                asked = clock.now()
                layers.retry += asked - since
                try:
                    answer = await attempt(endpoint, call, policy, clock, metadata)
                finally:
                    since = clock.now()
                    layers.attempt += since - asked
                if type(answer) is Reply:
                    return answer
                assert isinstance(answer, Attempt)
                last = answer
                answer.error.replica = endpoint.replica.id
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
        finally:
            layers.retry += clock.now() - since

    return retry


def assemble(
    pool: Pool,
    admission: Admission,
    clock: Clock,
    rng: random.Random,
    metrics: RouterMetrics,
    tracing: Tracing,
    splitting: Splitting | None = None,
    explaining: Explaining | None = None,
) -> Handler:
    """The whole stack; tracing and explanations go outermost, tracing around each attempt as well."""
    handler = retrying(pool, clock, rng, metrics, tracing)
    if splitting is not None:
        handler = splitting.layer(handler)
    handler = admission.layer(handler, clock.now, pool.layers)
    for layer in reversed(tracing.layers):
        handler = layer(handler)
    return handler if explaining is None else explaining.layer(handler)
