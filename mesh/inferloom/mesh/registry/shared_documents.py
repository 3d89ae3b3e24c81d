"""Documents of which reading and writing go to the store, and watching to whoever watches for this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Document, DocumentKey, Documents, Registry, Spec

__all__ = ["SharedDocuments", "end"]

AGAIN = 1.0  # seconds between attempts to watch

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
        await end(self._following)
        self._following = None

    async def _follow(self) -> None:
        reading: asyncio.Task[None] | None = None
        try:
            async for source in self._source.watch():
                await end(reading)
                reading = None
                if source is not None:
                    reading = asyncio.create_task(self._read(source.documents), name="watch documents of a source")
        finally:
            await end(reading)

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


async def end(task: asyncio.Task[None] | asyncio.Task[bool] | None) -> None:
    """Cancel a task and wait until it has ended."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
