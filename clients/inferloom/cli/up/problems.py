"""Why documents cannot be carried out, told to whoever waits for it elsewhere (`inferloom add`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from inferloom.cli.up.documents import NAMED, PROBLEM
from inferloom.mesh.catalog import Catalog, Kind, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Registry
from inferloom.mesh.registry.tenants import GONE

__all__ = ["Problems", "Standing", "follow_problems", "problems_in", "tell_problems", "told"]

log = structlog.get_logger(__name__)
STANDS = 1.5  # seconds
LOOK = 0.5  # seconds


class Problems:
    """Of the documents of one kind, each as a document of kind `problem` of the same name.

    Attributes:
        found: why, by name.
    """

    def __init__(self, registry: Registry, kind: str, author: str) -> None:
        self._registry = registry
        self._kind = kind
        self._author = author
        self._told: dict[str, dict[str, Any]] = {}
        self.found: dict[str, str] = {}

    def add(self, name: str, why: str) -> None:
        self.found[name] = why
        log.warning(f"{self._kind} cannot be placed", name=name, why=why)

    async def tell(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Write what has changed since the last time."""
        versions = {name: document.version for (kind, name), document in documents.items() if kind == self._kind}
        told = {name: {"why": why, "version": versions[name]} for name, why in self.found.items() if name in versions}
        try:
            for name in told.keys() | self._told.keys():
                if told.get(name) != self._told.get(name):
                    await self._registry.documents.put(PROBLEM, name, told.get(name), author=self._author)
        except InferloomError as error:
            log.warning("problem cannot be written down", error=str(error))
            return
        self._told = told


def problems_in(documents: Mapping[DocumentKey, Document]) -> dict[str, str]:
    """Why documents as they are now cannot be carried out, by name; what was said of older versions is left out."""
    versions = {(name, document.version) for (kind, name), document in documents.items() if kind in NAMED}
    found = {}
    for (kind, name), document in documents.items():
        spec = document.spec or {}
        if kind == PROBLEM and (name, spec.get("version")) in versions:
            found[name] = str(spec.get("why"))
    return found


def told(replicas: Iterable[Replica]) -> str:
    """The first problem that a replica tells of itself. One whose process has gone tells nothing: it is started again."""
    return next((replica.problem for replica in replicas if replica.problem and replica.problem != GONE), "")


class Standing:
    """Problems of pipelines that have stood for a while: one that waits for a model may be in order the next moment.

    Attributes:
        now: of documents, by name, as they were last seen.
    """

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._since: dict[tuple[str, str], float] = {}
        self.now: dict[str, str] = {}

    def long(self, catalog: Catalog, *, served: bool = False) -> dict[str, str]:
        """By name, those of documents and of pipelines' records; to be asked again and again.

        Args:
            served: also of those that go on as they were.
        """
        found = {
            name: told(model.replicas)
            for name, model in catalog.models.items()
            if model.kind is Kind.PIPELINE and (served or not model.ready)
        }
        present = {(name, why) for name, why in (found | self.now).items() if why}
        began = self._clock.now()
        self._since = {entry: self._since.get(entry, began) for entry in present}
        return {name: why for (name, why), since in self._since.items() if began - since >= STANDS}


async def tell_problems(registry: Registry, standing: Standing, say: Callable[[str], None]) -> None:
    """Say what goes wrong with pipelines from now on, each once, for ever."""
    said: dict[str, str] = {}
    while True:
        found = standing.long(registry.catalog, served=True)
        for name, why in found.items():
            if said.get(name) != why:
                say(f"{name}: {why}")
        said = found
        await asyncio.sleep(LOOK)


async def follow_problems(registry: Registry, into: Standing) -> None:
    """Keep `into.now` as `problems_in` tells, for ever."""
    async for documents in registry.documents.watch():
        into.now = problems_in(documents)
