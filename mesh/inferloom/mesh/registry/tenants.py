"""Registrations that a registry holds for other processes, and what becomes of them when a process goes without a word.

Who says goodbye is taken out at once. A process that is killed says nothing: its replicas stay in the catalog for a while
as `starting`, with the reason, so that callers are told UNAVAILABLE and why until another has taken its place, rather than
NOT_FOUND as of a model that never was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, replace

import structlog

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Registration, Registry

__all__ = ["GONE", "KEPT", "Tenant", "Tenants"]

log = structlog.get_logger(__name__)

GONE = "its process has gone"  # the problem of a replica that is lost
KEPT = 30.0  # seconds that it stays in the catalog

Key = tuple[str, str]  # (model, id)


@dataclass(slots=True)
class _Lost:
    registration: Registration
    expiry: asyncio.Task[None]


class Tenants:
    """All that is registered through one process."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._holders: dict[Key, Registration] = {}  # the newest registration of each place
        self._lost: dict[Key, _Lost] = {}
        self._closing = False

    def enter(self) -> Tenant:
        """A process that registers."""
        return Tenant(self)

    async def forget(self, name: str) -> None:
        """Take out what is lost of a model or service, its methods among it: nobody waits for it any more."""
        methods = f"{name}."
        await self._drop(key for key in self._lost if key[0] == name or key[0].startswith(methods))

    async def close(self) -> None:
        """Take out all that is lost. Whoever leaves from now on is taken to have said so: it is this side that ends."""
        self._closing = True
        await self._drop(self._lost)

    async def _take(self, replica: Replica) -> Registration:
        key = _key(replica)
        lost = self._lost.pop(key, None)
        if lost is None:
            registration = self._holders[key] = await self._registry.register(replica)
            return registration
        lost.expiry.cancel()
        try:
            await lost.registration.update(replica)  # without a gap, in which nobody would know the model
        except InferloomError:
            await _quietly(self._leave(lost.registration))
            raise
        return lost.registration

    async def _serves(self, replica: Replica) -> None:
        """One has come to serve: those lost beside it on the same machine are not waited for."""
        lost = self._lost.items()
        await self._drop(
            key for key, one in lost if key[0] == replica.model and one.registration.replica.host == replica.host
        )

    async def _leave(self, registration: Registration) -> None:
        key = _key(registration.replica)
        if self._holders.get(key) is registration:
            del self._holders[key]
        await registration.deregister()

    async def _lose(self, registration: Registration) -> None:
        replica = registration.replica
        key = _key(replica)
        replaced = self._holders.get(key) is not registration
        if replaced or self._closing or replica.state is State.DRAINING:
            await self._leave(registration)
            return
        log.warning("replica lost", model=replica.model, id=replica.id, why=GONE)
        expiry = asyncio.create_task(self._expire(key), name=f"forget {replica.model} of {replica.id}")
        self._lost[key] = _Lost(registration, expiry)
        await registration.update(replace(replica, state=State.STARTING, problem=GONE))

    async def _expire(self, key: Key) -> None:
        await self._clock.sleep(KEPT)
        await _quietly(self._leave(self._lost.pop(key).registration))

    async def _drop(self, keys: Iterable[Key]) -> None:
        for lost in [self._lost.pop(key) for key in tuple(keys)]:
            lost.expiry.cancel()
            await _quietly(self._leave(lost.registration))


class Tenant:
    """One process, and what it has registered."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._mine: dict[Key, Registration] = {}
        self._left: set[Key] = set()  # said goodbye to, and perhaps still to be taken out

    async def put(self, replica: Replica) -> None:
        """Register a replica, or update its record. Raises as `Registry.register` does."""
        key = _key(replica)
        known = self._mine.get(key)
        served = known is not None and known.replica.usable
        if known is None:
            self._mine[key] = await self._tenants._take(replica)
            self._left.discard(key)
        else:
            await known.update(replica)
        if replica.usable and not served:
            await self._tenants._serves(replica)

    async def leave(self, replica: Replica) -> None:
        """Take a replica out, now."""
        key = _key(replica)
        if key in self._mine:
            self._left.add(key)
            await self._tenants._leave(self._mine[key])
            del self._mine[key]

    async def end(self, *, told: bool = False) -> None:
        """It is no longer there. What it has not taken out is lost; where it is `told` to go, taken out."""
        mine, self._mine = self._mine, {}
        for key, registration in mine.items():
            leaves = told or key in self._left
            await _quietly(self._tenants._leave(registration) if leaves else self._tenants._lose(registration))


def _key(replica: Replica) -> Key:
    return (replica.model, replica.id)


async def _quietly(change: Awaitable[None]) -> None:
    try:
        await change
    except InferloomError as error:
        log.warning("the registry was not reached: the record goes with its checks", error=str(error))
