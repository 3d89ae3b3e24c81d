"""Instances of this process's replicas with the local agent, and the gRPC checks they lean on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inferloom.mesh.catalog import Replica
from inferloom.mesh.registry.consul.client import ConsulClient
from inferloom.mesh.registry.consul.instance import CheckOptions, Instance, of_replica, of_sidecar
from inferloom.mesh.registry.consul.keys import Keys

__all__ = ["Instances"]


class Instances:
    """Registers and deregisters with the agent; each method raises as `ConsulClient` does."""

    def __init__(self, client: ConsulClient, keys: Keys, checks: CheckOptions) -> None:
        self._client = client
        self._keys = keys
        self._checks = checks
        self._sidecars: set[str] = set()  # check addresses that the agent has been told of

    async def put(self, replica: Replica) -> None:
        """Register a replica, and before it the check of its sidecar where that is not known yet."""
        if replica.check and replica.check not in self._sidecars:
            await self._register(of_sidecar(self._keys, replica.check, self._checks))
            self._sidecars.add(replica.check)
        await self._register(of_replica(self._keys, replica))

    async def delete(self, replica: Replica) -> None:
        await self._deregister(of_replica(self._keys, replica))

    async def drop_unused(self, used: Iterable[str]) -> None:
        """Deregister the sidecars' checks that no replica leans on any more."""
        for check in sorted(self._sidecars.difference(used)):
            await self._deregister(of_sidecar(self._keys, check, self._checks))
            self._sidecars.discard(check)

    async def put_missing(self, replicas: Sequence[Replica]) -> None:
        """Register again what the agent does not have, or has otherwise; keep the rest alive."""
        found = await self._client.call(
            lambda consul: consul.agent.services(f'"{self._keys.tag}" in Tags'), 'service_prefix "" { policy = "read" }'
        )
        self._sidecars = {check for check in self._sidecars if self._keys.sidecar(check) in found}
        for replica in replicas:
            instance = of_replica(self._keys, replica)
            known = found.get(instance.id)
            if known is None or not instance.same_as(known) or (replica.check and replica.check not in self._sidecars):
                await self.put(replica)
            elif not replica.check:
                await self._keep_alive(instance)

    async def _keep_alive(self, instance: Instance) -> None:
        check = instance.check["CheckID"]
        await self._client.call(lambda consul: consul.agent.check.ttl_pass(check), _needs(instance))

    async def _register(self, instance: Instance) -> None:
        arguments = instance.registration()
        await self._client.call(lambda consul: consul.agent.service.register(**arguments), _needs(instance))

    async def _deregister(self, instance: Instance) -> None:
        await self._client.call(lambda consul: consul.agent.service.deregister(instance.id), _needs(instance))


def _needs(instance: Instance) -> str:
    return f'service "{instance.service}" {{ policy = "write" }}'
