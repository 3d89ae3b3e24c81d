"""How often Consul is asked again."""

from __future__ import annotations

import random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, stop_never

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, RegistryUnavailable

__all__ = ["TokenBucket", "jittered", "retrying"]


class TokenBucket:
    """At most `capacity` at once and `rate` per second in the long run.

    A blocking query returns with every change; where changes never stop, this is what bounds the work.
    """

    def __init__(self, clock: Clock, capacity: float = 2.0, rate: float = 2.0) -> None:
        self._clock = clock
        self._capacity = capacity
        self._rate = rate
        self._tokens = capacity
        self._at = clock.now()

    async def take(self) -> None:
        """Take one token, waiting until there is one. For one taker at a time."""
        self._refill()
        if self._tokens < 1.0:
            await self._clock.sleep((1.0 - self._tokens) / self._rate)
            self._refill()
        self._tokens -= 1.0

    def _refill(self) -> None:
        now = self._clock.now()
        self._tokens = min(self._capacity, self._tokens + (now - self._at) * self._rate)
        self._at = now


def jittered(rng: random.Random, seconds: float, part: float = 0.2) -> float:
    """Up to `part` less than `seconds`, so that processes started together do not ask together."""
    return seconds * (1.0 - part * rng.random())


def retrying(
    clock: Clock,
    rng: random.Random,
    *,
    first: float = 0.1,
    most: float = 2.0,
    attempts: int | None = None,
    on: type[InferloomError] = RegistryUnavailable,
) -> AsyncRetrying:
    """Repeat what fails with `on`: after `first` seconds, doubling up to `most`, each less a jitter of a half."""

    def wait(state: RetryCallState) -> float:
        return jittered(rng, min(most, first * 2.0 ** min(state.attempt_number - 1, 30)), 0.5)

    return AsyncRetrying(
        wait=wait,
        stop=stop_never if attempts is None else stop_after_attempt(attempts),
        retry=retry_if_exception_type(on),
        sleep=clock.sleep,
        reraise=True,
    )
