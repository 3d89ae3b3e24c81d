"""Makes the host processes what the documents of kind `service`, `app` and `pipeline` say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from inferloom.cli.up.documents import APP, PIPELINE, SERVICE
from inferloom.cli.up.hosting import HostPlace, host_places
from inferloom.cli.up.hosts import HostFleet
from inferloom.cli.up.owned import Mine
from inferloom.cli.up.problems import Problems
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Registry

__all__ = ["HostSupervisor"]

LOOK = 0.5  # seconds between looks at the processes


class HostSupervisor:
    """Follows the documents that belong to this mesh.

    Args:
        mine: tells which those are.
        shared: services that ask for nothing share a process.
        composes: there will be pipelines.
        gpus: ids of this machine's GPUs.
        taken: those of them that models have.
    """

    def __init__(
        self,
        registry: Registry,
        fleet: HostFleet,
        mine: Mine,
        host: str,
        *,
        shared: bool,
        composes: bool = False,
        gpus: Sequence[str] = (),
        taken: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._registry = registry
        self._fleet = fleet
        self._mine = mine
        self._shared = shared
        self._composes = composes
        self._gpus = gpus
        self._taken = taken
        self._documents: Mapping[DocumentKey, Document] = {}
        self._specs: dict[str, ServiceSpec] = {}
        self._problems = Problems(registry, SERVICE, host)
        self.places: dict[str, HostPlace] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Why a service is not run as its document says, by name."""
        return self._problems.found

    @property
    def gpus(self) -> frozenset[str]:
        """Those that services have."""
        return frozenset(gpu for place in self.places.values() for gpu in place.gpus)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_fleet(), name="watch hosts")
            async for documents in self._registry.documents.watch():
                self._documents = documents
                await self.apply(documents)
                await self._problems.tell(documents)

    async def apply(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Carry out this state of the documents."""
        services: dict[str, ServiceSpec] = {}
        apps: list[AppSpec] = []
        pipelines = self._composes
        self._problems.found.clear()
        for (kind, name), spec in self._mine.among(documents).items():
            try:
                if kind == SERVICE:
                    services[name] = ServiceSpec.from_json(name, spec)
                elif kind == APP:
                    apps.append(AppSpec.from_json(name, spec))
                elif kind == PIPELINE:
                    pipelines = True
            except InferloomError as error:
                self._problems.add(name, str(error))
                if name in self._specs:
                    services[name] = self._specs[name]
        if apps and any(kind == PIPELINE for kind, _ in documents):
            pipelines = True  # of a registry that it shares: it may have the steps
        free = [gpu for gpu in self._gpus if gpu not in self._taken()]
        try:
            places = host_places(
                services.values(), apps, pipelines=pipelines, shared=self._shared, before=self.places, gpus=free
            )
        except InferloomError as error:
            for name in [name for name, spec in services.items() if self._specs.get(name) != spec]:
                self._problems.add(name, str(error))
            return
        self._specs = services
        if places != self.places:
            self.places = places
            await self._fleet.apply(places)

    async def _watch_fleet(self) -> None:
        """A process that stays down is a problem of its services."""
        while True:
            await asyncio.sleep(LOOK)
            for place_id, why in self._fleet.trouble().items():
                place = self.places.get(place_id)
                fresh = [name for name in (place.services if place else ()) if name not in self._problems.found]
                for name in fresh:
                    self._problems.add(name, why)
                if fresh:
                    await self._problems.tell(self._documents)
