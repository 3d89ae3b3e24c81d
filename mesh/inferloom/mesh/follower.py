"""Following the documents of one kind: for ever, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Documents

__all__ = ["Follower"]

log = structlog.get_logger(__name__)

AGAIN = 1.0  # seconds until a watch that broke is begun anew
FIRST = 2.0  # seconds that a start waits for the first documents


class Follower:
    """Has `apply` called with each state of the documents of a kind.

    Args:
        until: what holds while the first documents have not come, for the log.
    """

    def __init__(
        self, kind: str, apply: Callable[[Mapping[DocumentKey, Document]], None], clock: Clock, until: str
    ) -> None:
        self._kind = kind
        self._apply = apply
        self._clock = clock
        self._until = until
        self._first = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def began(self) -> bool:
        """Whether a first state has been applied."""
        return self._first.is_set()

    async def start(self, documents: Documents) -> None:
        """Returns when the first have been applied, or do not come."""
        self._task = asyncio.create_task(self._follow(documents), name=f"follow documents of kind {self._kind}")
        try:
            await asyncio.wait_for(self._first.wait(), FIRST)
        except TimeoutError:
            log.warning("documents are not known yet", kind=self._kind, until=self._until)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self, documents: Documents) -> None:
        while True:
            try:
                async for present in documents.watch(self._kind):
                    self._apply(present)
                    self._first.set()
            except InferloomError as error:
                log.warning("documents not followed", kind=self._kind, error=str(error))
            except Exception as error:  # what is in force must not freeze for ever because of one that is odd
                log.error("documents not followed", kind=self._kind, exc_info=error)
            await self._clock.sleep(AGAIN)
