"""Everything this process has registered with Consul, asserted again and again.

A replica is two things there: an instance of its model's service, for Consul's checks, UI and DNS, and a record in the
key-value store, which is what the mesh reads. A new replica's instance comes first, so that its record never lacks a
verdict; later the record does, since it tells whether the replica is still ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import replace

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput, RegistryUnavailable
from inferloom.mesh.registry.consul.client import ConsulClient
from inferloom.mesh.registry.consul.instance import CheckOptions, of_replica
from inferloom.mesh.registry.consul.instances import Instances
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.pace import jittered, retrying
from inferloom.mesh.registry.consul.records import SESSION_TTL, Records
from inferloom.mesh.registry.memory import check_clash
from inferloom.mesh.registry.record import encode

__all__ = ["ASSERT", "ConsulRegistration", "Registrar"]

ASSERT = 10.0  # seconds between two assertions
PATIENCE = 10.0  # seconds for which update and deregister try before they leave it to the assertions

log = logging.getLogger(__name__)


class ConsulRegistration:
    """A replica's place in Consul."""

    def __init__(self, registrar: Registrar, wanted: Replica) -> None:
        self._registrar = registrar
        self.wanted: Replica = wanted
        self.written: Replica | None = None  # what Consul has, as far as we know
        self.lost = False  # another process has registered the same id since

    def __repr__(self) -> str:
        state = "lost" if self.lost else "written" if self.written == self.wanted else "pending"
        return f"<ConsulRegistration {self.wanted.model}/{self.wanted.id} {state}>"

    @property
    def replica(self) -> Replica:
        return self.wanted

    async def update(self, replica: Replica) -> None:
        """Replace the record. While Consul is away the change is remembered, and written when it is back."""
        self.wanted = replace(replica, model=self.wanted.model, id=self.wanted.id)
        await self._registrar.write(self)

    async def deregister(self) -> None:
        """Take the record out. Idempotent.

        Raises:
            RegistryUnavailable: Consul does not answer within ten seconds. The replica is not asserted any more; its
                record is taken out when Consul is back, or goes with this process's session.
        """
        await self._registrar.remove(self)


class Registrar:
    """Registers, asserts, deregisters. One writer at a time."""

    def __init__(
        self, client: ConsulClient, keys: Keys, *, clock: Clock, rng: random.Random, checks: CheckOptions
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._rng = rng
        self._records = Records(client, keys)
        self._instances = Instances(client, keys, checks)
        self._present: dict[tuple[str, str], ConsulRegistration] = {}
        self._leaving: list[ConsulRegistration] = []
        self._turn = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def register(self, replica: Replica) -> ConsulRegistration:
        """See `Registry.register`."""
        self._keys.record(replica.model, replica.id)  # a wrong name is said before Consul is asked
        registration = ConsulRegistration(self, replica)
        if self._task is None:
            self._task = asyncio.create_task(self._assert_forever(), name="consul registrations")
        async with self._turn:
            place = (replica.model, replica.id)
            if place in self._present:
                raise InvalidInput(f"replica '{replica.id}' of model '{replica.model}' is registered here already")
            check_clash(replica, dict.fromkeys(await self._records.models()))
            try:
                await self._renew()
                await self._instances.put(replica)
                await self._records.put(replica, take_over=True)
                await self._check_older(replica)
            except BaseException:
                self._leaving.append(registration)
                self._hurry.set()
                raise
            registration.written = replica
            self._present[place] = registration
            self._leaving = [left for left in self._leaving if (left.wanted.model, left.wanted.id) != place]
        return registration

    async def write(self, registration: ConsulRegistration) -> None:
        """Bring Consul up to what the registration wants, now if it can be."""
        try:
            async with asyncio.timeout(PATIENCE), self._turn:
                if self._is_present(registration):
                    await self._put(registration)
        except (RegistryUnavailable, TimeoutError) as error:
            log.warning("%r is written when Consul is back (%s)", registration, error)
            self._hurry.set()

    async def remove(self, registration: ConsulRegistration) -> None:
        """Take a registration out; where that fails, go on trying with the assertions."""
        place = (registration.wanted.model, registration.wanted.id)
        if self._present.get(place) is registration:
            del self._present[place]
            self._leaving.append(registration)
        if registration not in self._leaving:
            return
        failure: RegistryUnavailable | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                async for attempt in retrying(self._clock, self._rng):
                    with attempt:
                        try:
                            async with self._turn:
                                await self._take_out(registration)
                        except RegistryUnavailable as error:
                            failure = error
                            raise
        except TimeoutError:
            self._hurry.set()
            why = failure or f"Consul at {self._client.settings.address} does not answer"
            raise RegistryUnavailable(
                f"{why}; replica '{registration.wanted.id}' of model '{registration.wanted.model}' is taken out when it "
                f"is back, or goes by itself within {2 * SESSION_TTL} s"
            ) from None

    async def close(self) -> None:
        """Assert no more."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    async def _assert_forever(self) -> None:
        while True:
            await self._pause(jittered(self._rng, ASSERT))
            try:
                async for attempt in retrying(self._clock, self._rng, on=InferloomError):
                    with attempt:
                        await self._assert_once(first=attempt.retry_state.attempt_number == 1)
            except Exception:
                log.exception("asserting the registrations failed; it is tried again")

    async def _assert_once(self, *, first: bool) -> None:
        try:
            async with self._turn:
                await self._assert()
        except InferloomError as error:
            if first:
                log.warning("registrations are not asserted: %s", error)
            raise

    async def _pause(self, seconds: float) -> None:
        """Wait; less where a change could not be written."""
        waits = {asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._hurry.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._hurry.clear()

    async def _assert(self) -> None:
        for registration in tuple(self._leaving):
            await self._take_out(registration)
        if not self._present:
            return
        await self._renew()
        present = [registration for registration in self._present.values() if not registration.lost]
        await self._compare(present)
        await self._instances.put_missing([registration.wanted for registration in present if not registration.lost])
        for registration in present:
            if registration.written != registration.wanted and self._is_present(registration):
                await self._put(registration)

    async def _renew(self) -> None:
        if await self._records.renew():
            for registration in self._present.values():
                registration.written = None

    async def _compare(self, registrations: list[ConsulRegistration]) -> None:
        """Find the records that Consul does not have, or has otherwise."""
        asserted = [registration for registration in registrations if registration.written is not None]
        stated = await self._records.stated([registration.wanted for registration in asserted])
        for registration in asserted:
            record, ours = stated.get((registration.wanted.model, registration.wanted.id), (b"", True))
            if not ours:
                self._lose(registration)
            elif registration.written is None or record != encode(registration.written):
                registration.written = None

    async def _put(self, registration: ConsulRegistration) -> None:
        wanted, before = registration.wanted, registration.written
        if not await self._records.put(wanted, take_over=False):
            self._lose(registration)
            return
        if before is None or of_replica(self._keys, before) != of_replica(self._keys, wanted):
            await self._instances.put(wanted)
        await self._instances.drop_unused(self._checks_in_use())
        registration.written = wanted

    def _lose(self, registration: ConsulRegistration) -> None:
        registration.lost = True
        log.error(
            "replica '%s' of model '%s' has been registered by another process since: give each an id of its own",
            registration.wanted.id,
            registration.wanted.model,
        )

    async def _take_out(self, registration: ConsulRegistration) -> None:
        if registration not in self._leaving:
            return
        if not registration.lost and await self._records.delete(registration.wanted):
            await self._instances.delete(registration.wanted)
        await self._instances.drop_unused(self._checks_in_use())
        if not self._present:
            await self._records.end()
        registration.written = None
        with contextlib.suppress(ValueError):
            self._leaving.remove(registration)

    async def _check_older(self, replica: Replica) -> None:
        """Of two models that differ only in case, registered at the same moment, the older stays."""
        for name in await self._records.models():
            if name != replica.model and name.lower() == replica.model.lower():
                theirs, ours = await self._records.created(name), await self._records.created(replica.model)
                if 0 < theirs < ours:
                    check_clash(replica, {name: None})

    def _is_present(self, registration: ConsulRegistration) -> bool:
        return self._present.get((registration.wanted.model, registration.wanted.id)) is registration and not (
            registration.lost
        )

    def _checks_in_use(self) -> set[str]:
        return {registration.wanted.check for registration in self._present.values()}
