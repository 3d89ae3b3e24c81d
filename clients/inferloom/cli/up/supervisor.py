"""Makes the machine what the documents say: places models on Tritons, fills their repositories, starts and stops them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from inferloom.cli.up.documents import KIND, ModelSpec
from inferloom.cli.up.fleet import Fleet
from inferloom.cli.up.placement import Place, place
from inferloom.cli.up.problems import Problems
from inferloom.cli.up.repositories import Repositories
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Registry

__all__ = ["Supervisor"]

LOOK = 0.5  # seconds between looks at the sidecars


class Supervisor:
    """Follows the documents of kind `model` that name this host.

    A document that cannot be carried out is reported in `problems`, and as a document of kind `problem` to whoever waits
    for it elsewhere (`inferloom add`); it changes nothing of the others.

    Args:
        gpus: ids of this machine's GPUs.
        taken: those of them that services have.
    """

    def __init__(
        self,
        registry: Registry,
        repositories: Repositories,
        fleet: Fleet,
        host: str,
        gpus: Sequence[str] = (),
        taken: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._registry = registry
        self._repositories = repositories
        self._fleet = fleet
        self._host = host
        self._gpus = gpus
        self._taken = taken
        self._places: dict[str, Place] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._problems = Problems(registry, KIND, host)
        self._documents: Mapping[DocumentKey, Document] = {}

    @property
    def specs(self) -> Mapping[str, ModelSpec]:
        """What is carried out now, by name."""
        return self._specs

    @property
    def problems(self) -> Mapping[str, str]:
        """Why a model is not served as its document says, by name."""
        return self._problems.found

    @property
    def gpus(self) -> frozenset[str]:
        """Those that models have."""
        return frozenset(gpu for entry in self._places.values() for gpu in entry.gpus)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_fleet(), name="watch sidecars")
            async for documents in self._registry.documents.watch(KIND):
                self._documents = documents
                await self.apply(documents)
                await self._problems.tell(self._documents)

    async def _watch_fleet(self) -> None:
        """A sidecar that cannot start is a problem of the models it was to hold."""
        while True:
            await asyncio.sleep(LOOK)
            for place_id, why in self._fleet.trouble().items():
                entry = self._places.get(place_id)
                fresh = [name for name in (entry.models if entry is not None else ()) if name not in self.problems]
                for name in fresh:
                    self._problems.add(name, why)
                if fresh:
                    await self._problems.tell(self._documents)

    async def apply(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Carry out this state of the documents."""
        wanted: dict[str, ModelSpec] = {}
        self._problems.found.clear()
        for (_, name), document in documents.items():
            if (document.spec or {}).get("host", "") != self._host:
                continue
            try:
                wanted[name] = ModelSpec.from_json(name, document.spec or {})
            except InferloomError as error:
                self._problems.add(name, str(error))
                if name in self._specs:
                    wanted[name] = self._specs[name]
        try:
            free = [gpu for gpu in self._gpus if gpu not in self._taken()]
            places = place(wanted.values(), self._places, free)
        except InferloomError as error:
            changed = [name for name, spec in wanted.items() if self._specs.get(name) != spec]
            for name in changed:
                self._problems.add(name, str(error))
            return
        self._specs = wanted
        for key, before in tuple(self._places.items()):
            if key not in places or places[key].gpus != before.gpus:  # a Triton's GPUs are its for life
                del self._places[key]
                await self._fleet.remove(key)
        for key, entry in places.items():
            await self._fill(entry)
            if key not in self._places:
                await self._fleet.add(entry, self._repositories.folder(key))
        self._places = places

    async def _fill(self, entry: Place) -> None:
        try:
            problems = await asyncio.to_thread(self._repositories.fill, entry, self._specs)
        except (OSError, InferloomError) as error:
            problems = dict.fromkeys(entry.models, str(error))
        for name, why in problems.items():
            self._problems.add(name, why)
