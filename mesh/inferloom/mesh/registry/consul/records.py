"""Records of this process's replicas, held by one session.

The session has no checks but its time to live: records go when the process has not been heard for that long, whatever
becomes of its agent, and no watcher ever needs the permission to delete. Of two processes with the same replica id the
one that registered last has the record.
"""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Sequence
from typing import Any

from consul.exceptions import NotFound

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.consul.client import ConsulClient, operation
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.record import encode

__all__ = ["SESSION_TTL", "Records"]

SESSION_TTL = 300  # seconds without a word from this process after which Consul drops its records (up to twice that)
CHUNK = 64  # operations in a transaction: Consul's limit
MAY_HOLD = 'session_prefix "" { policy = "write" }'


class Records:
    """Reads and writes records; each method raises as `ConsulClient` does."""

    def __init__(self, client: ConsulClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._session = ""
        self._needs = f'key_prefix "{keys.replicas}" {{ policy = "write" }}'

    async def renew(self) -> bool:
        """Keep the session, or begin one. True where it is a new one, under which nothing has been written yet."""
        session = self._session
        if session and await self._client.call(lambda consul: _renews(consul, session), MAY_HOLD):
            return False
        name = f"{self._keys.prefix} {socket.gethostname()}:{os.getpid()}"
        self._session = await self._client.call(
            lambda consul: consul.session.create(name, checks=[], lock_delay=0, behavior="delete", ttl=SESSION_TTL),
            MAY_HOLD,
        )
        return True

    async def end(self) -> None:
        """End the session, and with it whatever it still holds."""
        session, self._session = self._session, ""
        if session:
            await self._client.call(lambda consul: consul.session.destroy(session), MAY_HOLD)

    async def put(self, replica: Replica, *, take_over: bool) -> bool:
        """Write a record. False where it has become another process's, and is not to be taken from it."""
        key, value, session = self._keys.record(replica.model, replica.id), encode(replica), self._session
        if await self._client.call(lambda consul: consul.kv.put(key, value, acquire=session), self._needs):
            return True
        if not take_over:
            return False
        both = [operation("delete", key), operation("lock", key, value, Session=session)]
        taken = await self._client.transaction(both, needs=self._needs)
        if not taken.done:
            raise RegistryUnavailable(f"Consul does not hand over {key}: {taken.errors}")
        return True

    async def delete(self, replica: Replica) -> bool:
        """Take a record out. False where it has become another process's, which keeps it."""
        if not self._session:
            return True
        key = self._keys.record(replica.model, replica.id)
        both = [operation("check-session", key, Session=self._session), operation("delete", key)]
        removed = await self._client.transaction(both, needs=self._needs)
        return removed.done or not any("failed session check" in what for what in removed.errors)

    async def stated(self, replicas: Sequence[Replica]) -> dict[tuple[str, str], tuple[bytes, bool]]:
        """What Consul has of these: by (model, replica) the record and whether it is ours.

        Where one of a transaction's records is missing the transaction tells of none of them.
        """
        found: dict[tuple[str, str], tuple[bytes, bool]] = {}
        for start in range(0, len(replicas), CHUNK):
            places = {self._keys.record(r.model, r.id): (r.model, r.id) for r in replicas[start : start + CHUNK]}
            read = await self._client.transaction([operation("get", key) for key in places], needs=self._needs)
            for result in read.results:
                ours = result.get("Session") in (self._session, None)
                found[places[result["Key"]]] = (base64.b64decode(result["Value"] or ""), ours)
        return found

    async def models(self) -> list[str]:
        """Names of all registered models."""
        _, keys = await self._client.call(
            lambda consul: consul.kv.get(self._keys.replicas, keys=True, separator="/"), self._needs
        )
        places = (self._keys.of_record(f"{key}-") for key in keys or ())
        return [place[0] for place in places if place is not None]

    async def created(self, model: str) -> int:
        """When the first of a model's records was written, in Consul's count; 0 where it has none."""
        prefix = self._keys.record(model, "-").removesuffix("-")
        _, entries = await self._client.call(lambda consul: consul.kv.get(prefix, recurse=True), self._needs)
        return min((entry["CreateIndex"] for entry in entries or ()), default=0)


async def _renews(consul: Any, session: str) -> bool:
    try:
        await consul.session.renew(session)
    except NotFound:
        return False
    return True
