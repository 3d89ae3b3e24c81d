"""Keeps a host's records in the registry as they should be.

The same as a sidecar's registrar: `want` never blocks, and of several changes to one record only the newest is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Registration, Registry

__all__ = ["Registrations"]

log = structlog.get_logger(__name__)

FIRST, MOST = 0.2, 5.0  # seconds between attempts while the registry is not reached, doubled each time


class Registrations:
    """Owns the registrations of one host.

    Args:
        refused: told of a name that the registry will not take (a clash of names), and why.
    """

    def __init__(self, registry: Registry, clock: Clock, refused: Callable[[str, str], None]) -> None:
        self._registry = registry
        self._clock = clock
        self._refused = refused
        self._wanted: dict[str, Replica] = {}
        self._known: dict[str, Registration] = {}
        self._pending: dict[str, Replica | None] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._task: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> dict[str, Replica]:
        """The records as they should be, by name."""
        return dict(self._wanted)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="keep records")

    async def close(self) -> None:
        """Stop. Nothing is deregistered by it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def want(self, name: str, record: Replica | None) -> None:
        """Register, update or (None) deregister a record."""
        if self._wanted.get(name) == record:
            return
        if record is None:
            del self._wanted[name]
        else:
            self._wanted[name] = record
        self._pending[name] = record
        self._settled.clear()
        self._changed.set()

    async def settle(self, timeout: float) -> bool:
        """Wait until the registry has all that is wanted; False where it has not within `timeout` seconds."""
        try:
            await asyncio.wait_for(self._settled.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def _run(self) -> None:
        pause = FIRST
        while True:
            if not self._pending:
                self._settled.set()
                await self._changed.wait()
            self._changed.clear()
            for name in list(self._pending):
                record = self._pending.pop(name)
                try:
                    await self._apply(name, record)
                except InvalidInput as error:
                    log.error("refused by the registry", name=name, error=str(error))
                    self._refused(name, str(error))
                except InferloomError as error:
                    self._pending.setdefault(name, record)
                    log.warning("registry not reached", name=name, error=str(error), retry_in=pause)
                    await self._clock.sleep(pause)
                    pause = min(2 * pause, MOST)
                else:
                    pause = FIRST

    async def _apply(self, name: str, record: Replica | None) -> None:
        registration = self._known.get(name)
        if record is None:
            if registration is not None:
                await registration.deregister()
                del self._known[name]
        elif registration is None:
            self._known[name] = await self._registry.register(record)
        else:
            await registration.update(record)
