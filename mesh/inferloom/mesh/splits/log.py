"""Exposures as lines of JSON in a file: written in batches, beside the event loop, rotated by size."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import structlog

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.splits.exposure import Exposure

__all__ = ["ExposureLog"]

log = structlog.get_logger(__name__)

EVERY = 1.0  # seconds between two writes
MIB = 1024 * 1024


class ExposureLog:
    """A sink. `start` opens the file, `close` writes what is left.

    Args:
        path: the file; full ones are renamed to PATH.1, PATH.2 and so on, the newest first.
        largest: bytes after which a new file is begun.
        kept: full files that are kept.
        backlog: exposures that may wait for the disk; more are dropped and counted.

    Raises:
        ConfigError: by `start`, where the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        largest: int = 64 * MIB,
        kept: int = 4,
        backlog: int = 50_000,
        clock: Clock = SYSTEM,
        option: str = "--exposures",
    ) -> None:
        self.path = path
        self.dropped = 0
        self._largest, self._kept, self._most = largest, kept, backlog
        self._clock = clock
        self._option = option
        self._waiting: list[Exposure] = []
        self._flushing: asyncio.Task[None] | None = None

    def record(self, exposure: Exposure) -> None:
        if len(self._waiting) < self._most:
            self._waiting.append(exposure)
        else:
            self.dropped += 1

    async def start(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.open("a").close()
        except OSError as error:
            raise ConfigError(f"{self._option}: cannot write {self.path}: {error.strerror or error}") from None
        self._flushing = asyncio.create_task(self._keep_flushing(), name=f"exposures to {self.path.name}")

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
            self._flushing = None
        await self.flush()

    async def flush(self) -> None:
        """Write what waits. What the disk does not take is lost, logged and counted: requests do not wait for it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            await asyncio.to_thread(self._write, waiting)
        except OSError as error:
            self.dropped += len(waiting)
            log.error("exposures not written", file=str(self.path), lost=len(waiting), error=str(error))

    async def _keep_flushing(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            writing = asyncio.ensure_future(self.flush())
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing  # what was taken off the list is on its way to the disk
                raise

    def _write(self, exposures: list[Exposure]) -> None:
        lines = "".join(json.dumps(exposure._asdict(), separators=(",", ":")) + "\n" for exposure in exposures)
        if self.path.exists() and self.path.stat().st_size + len(lines) > self._largest:
            self._rotate()
        with self.path.open("a") as file:
            file.write(lines)

    def _rotate(self) -> None:
        full = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._kept + 1)]
        for older, newer in zip(reversed(full), [*reversed(full[:-1]), self.path], strict=True):
            if newer.exists():
                newer.replace(older)
