"""The registry of a mesh whose processes meet in Consul."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.registry.consul.blocking import WAIT
from inferloom.mesh.registry.consul.client import ConsulClient
from inferloom.mesh.registry.consul.documents import ConsulDocuments
from inferloom.mesh.registry.consul.instance import CheckOptions
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.registrar import ConsulRegistration, Registrar
from inferloom.mesh.registry.consul.saver import Saver
from inferloom.mesh.registry.consul.settings import ConsulSettings
from inferloom.mesh.registry.consul.watcher import Watcher
from inferloom.mesh.registry.snapshot import SnapshotFile, file_name, state_folder

__all__ = ["ConsulRegistry"]

Where = Path | Literal["user"] | None


class ConsulRegistry:
    """Replicas and documents in Consul.

    Args:
        address: HOST:PORT of an agent, with http:// or https:// before it where it matters.
        token: an ACL token.
        ca, cert, key: PEM files, for https.
        scheme: "http" or "https"; the address may say so as well.
        settings: all of the above at once; the address is applied to it.
        prefix: what keys, tags and instances begin with; meshes that share a Consul have different ones.
        checks: how the agent checks sidecars.
        snapshot: the file that keeps the last good snapshot; "user": one in this user's state folder; None: none.
        wait: seconds for which a blocking query waits, at most 240: also how soon a frozen Consul is noticed.

    Raises:
        ConfigError: the address or the prefix cannot be.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:8500",
        *,
        token: str = "",
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        scheme: str = "http",
        settings: ConsulSettings | None = None,
        prefix: str = "inferloom",
        checks: CheckOptions | None = None,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        snapshot: Where = "user",
        wait: float = WAIT,
    ) -> None:
        given = settings or ConsulSettings(scheme=scheme, token=token, ca=ca, cert=cert, key=key)
        self.settings = given.at(address)
        rng = rng if rng is not None else seeded()
        keys = Keys(prefix)
        if snapshot == "user":
            snapshot = state_folder() / file_name("consul", self.settings.address, prefix)
        wait = min(wait, 240.0)
        self._client = ConsulClient(self.settings)
        self._saver = Saver(SnapshotFile(snapshot), clock) if snapshot is not None else None
        self._watcher = Watcher(self._client, keys, self._saver, clock=clock, rng=rng, wait=wait)
        self._registrar = Registrar(self._client, keys, clock=clock, rng=rng, checks=checks or CheckOptions())
        self.documents = ConsulDocuments(self._client, keys, clock=clock, rng=rng, wait=wait)

    @classmethod
    def from_environment(
        cls, address: str | None = None, *, prefix: str = "inferloom", snapshot: Where = "user", clock: Clock = SYSTEM
    ) -> ConsulRegistry:
        """The Consul that CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and their kin name; `address` overrides the address alone.

        Raises:
            ConfigError: a variable cannot be, or names a file that is not there.
        """
        found = ConsulSettings.from_environment(os.environ, address)
        return cls(f"{found.scheme}://{found.address}", settings=found, prefix=prefix, snapshot=snapshot, clock=clock)

    def __repr__(self) -> str:
        return f"<ConsulRegistry {self.settings.address} {len(self.catalog.models)} models, fresh={self.catalog.fresh}>"

    @property
    def catalog(self) -> Catalog:
        return self._watcher.latest.value

    @property
    def age(self) -> float:
        return self._watcher.age

    async def register(self, replica: Replica) -> ConsulRegistration:
        return await self._registrar.register(replace(replica, healthy=True))

    def watch(self) -> AsyncIterator[Catalog]:
        return self._watcher.latest.watch()

    async def start(self, patience: float = 5.0) -> None:
        """Begin to watch; returns with the first snapshot. Not needed by who only registers or reads documents.

        Raises:
            RegistryUnavailable: Consul does not answer within `patience` seconds, and no snapshot was kept on disk.
            Forbidden, Unauthenticated: Consul refuses; the message says which permission is missing.
        """
        await self._watcher.start(patience)

    async def close(self) -> None:
        await self._registrar.close()
        await self.documents.close()
        await self._watcher.close()
        if self._saver is not None:
            await self._saver.close()
        await self._client.close()
