"""One watcher of Consul for each machine: a registry that writes to it directly and watches through the control process.

A blocking query for each process costs the agent more than all registrations; so catalog and documents come from the
machine's control process, over MeshService. While that is gone, this process watches Consul itself; when it is back, no
longer. On neither way is the catalog emptied: the last good one serves until the other source has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from inferloom.mesh.catalog import EMPTY, Catalog, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InferloomError, RegistryUnavailable
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Document, DocumentKey, Documents, Registration, Registry, Spec

__all__ = ["PATIENCE", "SharedDocuments", "SharedWatch"]

PATIENCE = 1.5  # seconds without the control process after which this one watches by itself
AGAIN = 1.0  # seconds between attempts to reach either

log = structlog.get_logger(__name__)


class SharedDocuments:
    """Reads and writes go to the store itself; only watching is shared."""

    def __init__(self, store: Documents, source: Latest[Registry | None], clock: Clock) -> None:
        self._store = store
        self._source = source
        self._clock = clock
        self._latest: Latest[Mapping[DocumentKey, Document] | None] = Latest(None)
        self._following: asyncio.Task[None] | None = None

    async def get(self, kind: str, name: str) -> Document | None:
        return await self._store.get(kind, name)

    async def put(
        self, kind: str, name: str, spec: Spec | None, *, expected_version: int | None = None, author: str = ""
    ) -> Document:
        return await self._store.put(kind, name, spec, expected_version=expected_version, author=author)

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        return await self._store.history(kind, name)

    async def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="watch documents")
        async for documents in self._latest.watch():
            if documents is not None:
                yield documents if not kind else {key: found for key, found in documents.items() if key[0] == kind}

    async def close(self) -> None:
        await _end(self._following)
        self._following = None

    async def _follow(self) -> None:
        reading: asyncio.Task[None] | None = None
        try:
            async for source in self._source.watch():
                await _end(reading)
                reading = None
                if source is not None:
                    reading = asyncio.create_task(self._read(source.documents), name="watch documents of a source")
        finally:
            await _end(reading)

    async def _read(self, documents: Documents) -> None:
        while True:
            try:
                async for present in documents.watch():
                    self._take(present)
            except InferloomError as error:
                log.warning("documents not watched", error=str(error))
            except Exception as error:  # those in force must not freeze for ever because of one that is odd
                log.error("documents not watched", exc_info=error)
            await self._clock.sleep(AGAIN)

    def _take(self, present: Mapping[DocumentKey, Document]) -> None:
        """Unchanged documents stay the same objects, whoever tells of them."""
        known = self._latest.value
        if known is None:
            self._latest.set(present)
            return
        merged = {key: old if (old := known.get(key)) == found else found for key, found in present.items()}
        if len(merged) != len(known) or any(known.get(key) is not found for key, found in merged.items()):
            self._latest.set(merged)


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
            await _end(task)
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
                    await _end(following)
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
            return self._fresh.is_set()
        finally:
            await _end(waiting)
            await _end(sleeping)

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


async def _end(task: asyncio.Task[None] | asyncio.Task[bool] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
