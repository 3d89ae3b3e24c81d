"""From the catalog to connections: what the router keeps for each model and replica.

The pool follows the catalog by comparing references: a model that is the same object has not changed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

import structlog

from inferloom.mesh.balance.kinds import pickers
from inferloom.mesh.balance.rendezvous import Rendezvous
from inferloom.mesh.catalog import EMPTY, Catalog, Model, Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ModelNotFound
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.group import Group
from inferloom.mesh.router.transport import Channel, ChannelFactory
from inferloom.mesh.telemetry.metrics_series import Layers

__all__ = ["Pool"]

log = structlog.get_logger(__name__)

LINGER = 60.0  # seconds a channel may stay open for the calls that still run on it


class Pool:
    """Groups by model name, and the channels their endpoints share.

    Args:
        connect: opens a channel to an address.
        policy: gives the policy of a model.
        zone: this process's own, for models whose policy prefers it; "": none.
    """

    def __init__(
        self,
        connect: ChannelFactory,
        policy: Callable[[Model], TrafficPolicy],
        clock: Clock,
        rng: random.Random,
        zone: str = "",
    ) -> None:
        self.groups: dict[str, Group] = {}
        self.catalog: Catalog = EMPTY
        self._nobody = Layers()  # of requests whose model is not in the catalog
        self._connect = connect
        self._policy = policy
        self._clock = clock
        self._rng = rng
        self._zone = zone
        self._pickers = pickers(rng)
        self._sticky = Rendezvous()
        self._channels: dict[tuple[str, int], Channel] = {}
        self._lingering: set[Channel] = set()  # without users, open for the calls that still run on them
        self._closing: set[asyncio.Task[None]] = set()

    def group(self, name: str) -> Group:
        """The group of a model.

        Raises:
            ModelNotFound: it is not in the catalog; names near matches.
        """
        group = self.groups.get(name)
        if group is None:
            raise ModelNotFound(name, self.catalog.near(name))
        return group

    def layers(self, name: str) -> Layers:
        """Where the time of a model's requests is counted."""
        group = self.groups.get(name)
        return self._nobody if group is None else group.layers

    async def follow(self, registry: Registry) -> None:
        """Apply every catalog of the registry, for ever."""
        async for catalog in registry.watch():
            try:
                self.apply(catalog)
            except Exception as error:  # routing must not freeze at an old catalog because one of them was odd
                log.error("catalog not applied", index=catalog.index, exc_info=error)

    def apply(self, catalog: Catalog) -> None:
        """Make the groups what this catalog says."""
        before, self.catalog = self.catalog.models, catalog
        for name, model in catalog.models.items():
            if before.get(name) is not model:
                self._apply_model(model)
        for name in before.keys() - catalog.models.keys():
            group = self.groups.pop(name)
            for endpoint in group.endpoints.values():
                self._drop(endpoint)

    def repolicy(self, names: Iterable[str]) -> None:
        """The policies of these models may have changed: take them over. Loads, breakers and budgets stay."""
        for name in names:
            group = self.groups.get(name)
            if group is not None:
                group.follow(self._policy(group.model))

    async def close(self) -> None:
        """Close every channel, ending what still runs on it."""
        channels = [*self._channels.values(), *self._lingering]
        self._channels = {}  # so that dropping their endpoints does not let them linger
        self.apply(EMPTY)
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels))

    def _apply_model(self, model: Model) -> None:
        group = self.groups.get(model.name)
        policy = self._policy(model)
        if group is None:
            group = Group(model, policy, self._pickers, self._sticky, self._clock.now(), self._zone)
            self.groups[model.name] = group
        group.model = model
        group.follow(policy)
        present = {replica.id: replica for replica in model.replicas}
        for key in group.endpoints.keys() - present.keys():
            self._drop(group.endpoints.pop(key))
        for key, replica in present.items():
            known = group.endpoints.get(key)
            if known is not None and _same_server(known.replica, replica):
                known.update(replica)
                continue
            group.endpoints[key] = self._endpoint(replica, group)
            if known is not None:
                self._drop(known)
        group.changed()

    def _endpoint(self, replica: Replica, group: Group) -> Endpoint:
        key = (replica.address, replica.generation)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = self._connect(replica.address)
        return Endpoint(
            replica,
            channel,
            self._clock,
            self._rng,
            group.policy,
            may_open=group.may_open,
            changed=group.changed,
        )

    def _drop(self, endpoint: Endpoint) -> None:
        endpoint.leave()
        channel = endpoint.channel
        if channel.users:
            return
        for key, known in tuple(self._channels.items()):
            if known is channel:
                del self._channels[key]
                self._lingering.add(channel)
                task = asyncio.create_task(self._linger(channel), name=f"close {channel.address}")
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def _linger(self, channel: Channel) -> None:
        await channel.close(LINGER)
        self._lingering.discard(channel)


def _same_server(one: Replica, other: Replica) -> bool:
    return one.address == other.address and one.generation == other.generation
