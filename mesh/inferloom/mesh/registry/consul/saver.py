"""Keeps the copy on disk up to date, a little behind the changes and off the event loop."""

from __future__ import annotations

import asyncio
import logging

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.clock import Clock
from inferloom.mesh.registry.snapshot import Snapshot, SnapshotFile

__all__ = ["Saver"]

DEBOUNCE = 1.0  # seconds between a change and its copy
CONFIRM = 30.0  # seconds after which an unchanged snapshot is noted as confirmed again

log = logging.getLogger(__name__)


class Saver:
    """Writes confirmed catalogs to one file. A disk that cannot be written is said once and harms nothing else."""

    def __init__(self, file: SnapshotFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._catalog: Catalog | None = None  # confirmed last
        self._models: object = None  # of the catalog that is on disk
        self._wall = 0.0  # when it was confirmed
        self._noted = 0.0  # what the file says of that
        self._task: asyncio.Task[None] | None = None
        self._failed = False

    async def load(self) -> Snapshot | None:
        return await asyncio.to_thread(self._file.load)

    def confirmed(self, catalog: Catalog) -> None:
        """The source has just said that this is how things are."""
        self._catalog, self._wall = catalog, self._clock.wall()
        due = catalog.models is not self._models or self._wall - self._noted >= CONFIRM
        if due and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._later(), name="snapshot")

    async def close(self) -> None:
        """Write what is not written yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._write()

    async def _later(self) -> None:
        await self._clock.sleep(DEBOUNCE)
        await self._write()

    async def _write(self) -> None:
        catalog, wall = self._catalog, self._wall
        if catalog is None or (catalog.models is self._models and wall == self._noted):
            return
        try:
            if catalog.models is self._models:
                await asyncio.to_thread(self._file.confirm, wall)
            else:
                await asyncio.to_thread(self._file.save, tuple(catalog.replicas()), wall)
        except OSError as error:
            self._models = None
            if not self._failed:
                log.warning("the registry's snapshot cannot be kept in %s: %s", self._file.path, error.strerror)
            self._failed = True
            return
        self._models, self._noted, self._failed = catalog.models, wall, False
