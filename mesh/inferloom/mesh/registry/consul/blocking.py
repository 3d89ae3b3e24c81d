"""One question, asked again and again, answered when something changes.

The rules are those of Consul's documentation on blocking queries: the index is a number that grows; where it goes
backwards (a restarted or restored Consul) it is forgotten; after a failure the question is asked anew, without one.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.consul.client import Answer, ConsulClient
from inferloom.mesh.registry.consul.pace import TokenBucket, jittered, retrying

__all__ = ["WAIT", "BlockingQuery", "next_index"]

WAIT = 30.0  # seconds; Consul would allow ten minutes, but this is also how soon a frozen one is noticed


def next_index(asked: int, answered: int) -> int:
    """The index to ask with next; 0: ask without one.

    Args:
        asked: the index of the question, 0 where it had none.
        answered: the index of the answer.
    """
    return 0 if answered < asked else max(answered, 1)


class BlockingQuery:
    """The loop of one question, over a connection of its own.

    Args:
        take: called with each answer that may be new, and whether it continues the one before: nothing in between has
            been missed, so what is gone was taken out on purpose.
        lost: called with each failure.
        found: called after each answer, also where nothing has changed.
    """

    def __init__(
        self,
        client: ConsulClient,
        path: str,
        params: Sequence[tuple[str, str]],
        *,
        needs: str,
        take: Callable[[Answer, bool], Awaitable[None]],
        lost: Callable[[InferloomError], None],
        found: Callable[[], None],
        clock: Clock,
        rng: random.Random,
        wait: float = WAIT,
    ) -> None:
        self._client = ConsulClient(client.settings, connections=1)
        self._path = path
        self._params = params
        self._needs = needs
        self._take = take
        self._lost = lost
        self._found = found
        self._clock = clock
        self._rng = rng
        self._wait = wait
        self._index = 0

    async def run(self) -> None:
        """Never ends by itself; failures are reported and paced."""
        bucket = TokenBucket(self._clock)
        try:
            while True:
                await bucket.take()
                async for attempt in retrying(self._clock, self._rng, on=InferloomError):
                    with attempt:
                        await self._ask()
        finally:
            self._index = 0
            await self._client.close()

    async def _ask(self) -> None:
        asked = self._index
        try:
            answer = await self._client.read(
                self._path, self._params, needs=self._needs, index=asked, wait=jittered(self._rng, self._wait)
            )
            if not asked or answer.index != asked:
                await self._take(answer, 0 < asked <= answer.index)
        except InferloomError as error:
            self._index = 0
            self._lost(error)
            raise
        self._index = next_index(asked, answer.index)
        self._found()
