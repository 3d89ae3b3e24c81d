"""One watcher of Consul for each machine: a registry that writes to it directly and watches through the control process.

A blocking query for each process costs the agent more than all registrations; so catalog and documents come from the
machine's control process, over MeshService. While that is gone, this process watches Consul itself; when it is back, no
longer. On neither way is the catalog emptied: the last good one serves until the other source has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import structlog

from inferloom.mesh.catalog import EMPTY, Catalog, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InferloomError, RegistryUnavailable
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Registration, Registry
from inferloom.mesh.registry.shared_documents import SharedDocuments, end

__all__ = ["PATIENCE", "SharedWatch"]

PATIENCE = 1.5  # seconds without the control process after which this one watches by itself
AGAIN = 1.0  # seconds between attempts to reach either

log = structlog.get_logger(__name__)


class SharedWatch:
    """A registry in two parts.

    Args:
        own: takes registrations, and reads and writes of documents; is never started.
        shared: makes a subscription to the control process; again after one that never came about.
        fallback: makes a registry that watches by itself; closed when the control process is back.
        patience: seconds without the control process until the fallback.
    """

    def __init__(
        self,
        own: Registry,
        shared: Callable[[], Registry],
        fallback: Callable[[], Registry],
        *,
        clock: Clock = SYSTEM,
        patience: float = PATIENCE,
    ) -> None:
        self._own = own
        self._shared = shared
        self._fallback = fallback
        self._clock = clock
        self._patience = patience
        self._latest: Latest[Catalog] = Latest(EMPTY)
        self._source: Latest[Registry | None] = Latest(None)  # who is listened to now
        self._fresh = asyncio.Event()  # the control process answers, and its catalog is fresh
        self._lost = asyncio.Event()  # the opposite
        self._known = asyncio.Event()  # there is a first catalog
        self._refused: InferloomError | None = None  # why there is none
        self._tasks: list[asyncio.Task[None]] = []
        self.documents = SharedDocuments(own.documents, self._source, clock)

    def __repr__(self) -> str:
        by = "the control process" if self.shared else "itself" if self._source.value is not None else "nobody"
        return f"<SharedWatch {len(self.catalog.models)} models, by {by}>"

    @property
    def shared(self) -> bool:
        """Whether the control process watches for this one now."""
        return self._fresh.is_set()

    @property
    def catalog(self) -> Catalog:
        return self._latest.value

    @property
    def age(self) -> float:
        return self._source.value.age if self._source.value is not None else float("inf")

    async def register(self, replica: Replica) -> Registration:
        return await self._own.register(replica)

    def watch(self) -> AsyncIterator[Catalog]:
        return self._latest.watch()

    async def start(self) -> None:
        """Returns with the first catalog, from whoever has it first.

        Raises:
            RegistryUnavailable, Forbidden, Unauthenticated: neither the control process nor the registry itself gives one.
        """
        if self._tasks:
            return
        self._tasks = [
            asyncio.create_task(self._follow_shared(), name="watch by the control process"),
            asyncio.create_task(self._stand_in(), name="watch without the control process"),
        ]
        await self._known.wait()
        if self._refused is not None:
            error, self._refused = self._refused, None
            await self.close()
            raise error

    async def close(self) -> None:
        await self.documents.close()
        for task in self._tasks:
            await end(task)
        self._tasks.clear()
        await self._own.close()

    async def _follow_shared(self) -> None:
        while True:
            registry = self._shared()
            try:
                await registry.start()
                async for catalog in registry.watch():
                    self._heard(registry, catalog)
            except RegistryUnavailable:
                log.debug("no control process answers")
            except Exception as error:
                log.warning("the control process is not followed", error=str(error))
            finally:
                self._answers(False)
                await registry.close()
            await self._clock.sleep(AGAIN)

    def _answers(self, fresh: bool) -> None:
        for event, holds in ((self._fresh, fresh), (self._lost, not fresh)):
            event.set() if holds else event.clear()

    def _heard(self, registry: Registry, catalog: Catalog) -> None:
        self._answers(catalog.fresh)
        if catalog.fresh:
            self._source.set(registry)
        if self._source.value is registry:
            self._take(catalog)

    async def _stand_in(self) -> None:
        """Watch the registry itself for as long as the control process does not."""
        while True:
            if await self._fresh_within(self._patience):
                await self._lost.wait()
                continue
            registry = self._fallback()
            try:
                await registry.start()
                if self._fresh.is_set():
                    continue
                log.warning("no control process answers: this process watches the registry by itself until one does")
                self._source.set(registry)
                following = asyncio.create_task(self._follow(registry), name="watch the registry")
                try:
                    await self._fresh.wait()
                    log.info("the control process is back")
                finally:
                    await end(following)
            except InferloomError as error:
                if not self._known.is_set():
                    self._refused = error
                    self._known.set()
                log.debug("the registry is not watched", error=str(error))
                await self._clock.sleep(AGAIN)
            finally:
                await registry.close()

    async def _fresh_within(self, seconds: float) -> bool:
        waiting = asyncio.create_task(self._fresh.wait())
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait({waiting, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.done()  # even if it has gone again by now: its absence is measured anew
        finally:
            await end(waiting)
            await end(sleeping)

    async def _follow(self, registry: Registry) -> None:
        async for catalog in registry.watch():
            if self._source.value is registry:
                self._take(catalog)

    def _take(self, catalog: Catalog) -> None:
        """Unchanged models stay the same objects, whoever tells of them."""
        before = self._latest.value
        merged = Catalog.build(catalog.replicas(), before, fresh=catalog.fresh)
        if merged is before and not self._known.is_set():
            merged = replace(before, fresh=catalog.fresh)  # an empty one is an answer too
        self._latest.set(merged)
        self._known.set()
