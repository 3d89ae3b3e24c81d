"""Brings the registry to what the board says, one record after the other, and tries again while it is unreachable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Registration, Registry
from inferloom.sidecar.watchdog import Backoff

__all__ = ["Registrar"]

log = structlog.get_logger(__name__)


class Registrar:
    """Owns the registrations of one sidecar.

    `want` never blocks; `run` does the work. Of several changes to one record only the newest is written.

    Args:
        refused: told of a record that the registry will not take (a clash of names), and why. It is left out until it
            changes.
    """

    def __init__(
        self, registry: Registry, clock: Clock, rng: random.Random, refused: Callable[[str, str], None]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._refused = refused
        self._registrations: dict[str, Registration] = {}
        self._pending: dict[str, Replica | None] = {}
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def want(self, model: str, record: Replica | None) -> None:
        """Register, update or (None) deregister a model's record."""
        self._pending[model] = record
        self._settled.clear()
        self._changed.set()

    async def settle(self, timeout: float) -> bool:
        """Wait until the registry has all that is wanted; False where it has not within `timeout` seconds."""
        try:
            await asyncio.wait_for(self._settled.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        backoff = Backoff(self._rng, 0.2, 5.0)
        while True:
            if not self._pending:
                self._settled.set()
                await self._changed.wait()
            self._changed.clear()
            for model in list(self._pending):
                record = self._pending.pop(model)
                try:
                    await self._apply(model, record)
                except InvalidInput as error:
                    log.error("refused by the registry", model=model, error=str(error))
                    self._refused(model, str(error))
                except InferloomError as error:
                    self._pending.setdefault(model, record)
                    pause = backoff.next(0.0)
                    log.warning("registry not reached", model=model, error=str(error), retry_in=round(pause, 2))
                    await self._clock.sleep(pause)
                else:
                    backoff = Backoff(self._rng, 0.2, 5.0)

    async def _apply(self, model: str, record: Replica | None) -> None:
        registration = self._registrations.get(model)
        if record is None:
            if registration is not None:
                await registration.deregister()
                del self._registrations[model]
        elif registration is None:
            self._registrations[model] = await self._registry.register(record)
        else:
            await registration.update(record)
