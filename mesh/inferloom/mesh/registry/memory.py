"""The registry of a mesh that is one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from inferloom.mesh.catalog import EMPTY, Catalog, Replica
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import Conflict, InvalidInput
from inferloom.mesh.latest import Latest
from inferloom.mesh.names import check_name
from inferloom.mesh.registry.base import Document, DocumentKey, Spec

__all__ = ["MemoryDocuments", "MemoryRegistry", "check_clash"]

HISTORY_LIMIT = 100  # versions kept of one document


def check_clash(replica: Replica, known: Mapping[str, object]) -> None:
    """Names that differ only in case cannot both be registered: Consul's names ignore case."""
    check_name(replica.model)
    if replica.model in known:
        return
    for name in known:
        if name.lower() == replica.model.lower():
            raise InvalidInput(
                f"model '{replica.model}' clashes with '{name}': names that differ only in case; rename one"
            )


class MemoryDocuments:
    """Documents in a dict, with their history."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._history: dict[DocumentKey, list[Document]] = {}
        self._latest: Latest[Mapping[DocumentKey, Document]] = Latest(MappingProxyType({}))

    async def get(self, kind: str, name: str) -> Document | None:
        return self._latest.value.get((kind, name))

    async def put(
        self, kind: str, name: str, spec: Spec | None, *, expected_version: int | None = None, author: str = ""
    ) -> Document:
        versions = self._history.setdefault((kind, name), [])
        newest = versions[-1] if versions else None
        present = newest.version if newest is not None and newest.spec is not None else 0
        if expected_version is not None and expected_version != present:
            raise Conflict(
                f"{kind} '{name}' is at version {present}, not {expected_version}: read it and change it again"
            )
        number = newest.version + 1 if newest is not None else 1
        document = Document(kind, name, spec, number, author, self._clock.wall())
        versions.append(document)
        del versions[:-HISTORY_LIMIT]
        current = dict(self._latest.value)
        if spec is None:
            current.pop(document.key, None)
        else:
            current[document.key] = document
        self._latest.set(MappingProxyType(current))
        return document

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        return tuple(self._history.get((kind, name), ()))

    async def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        async for documents in self._latest.watch():
            yield documents if not kind else {k: d for k, d in documents.items() if k[0] == kind}


class MemoryRegistration:
    def __init__(self, registry: MemoryRegistry, replica: Replica) -> None:
        self._registry = registry
        self._replica = replica

    @property
    def replica(self) -> Replica:
        return self._replica

    async def update(self, replica: Replica) -> None:
        self._replica = replace(replica, model=self._replica.model, id=self._replica.id)
        self._registry._put(self._replica)

    async def deregister(self) -> None:
        self._registry._remove(self._replica)


class MemoryRegistry:
    """Holds everything in this process; always fresh, always there."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.documents = MemoryDocuments(clock)
        self._replicas: dict[tuple[str, str], Replica] = {}
        self._latest: Latest[Catalog] = Latest(EMPTY)

    @property
    def catalog(self) -> Catalog:
        return self._latest.value

    @property
    def age(self) -> float:
        return 0.0

    async def register(self, replica: Replica) -> MemoryRegistration:
        check_clash(replica, self._latest.value.models)
        self._put(replica)
        return MemoryRegistration(self, replica)

    def watch(self) -> AsyncIterator[Catalog]:
        return self._latest.watch()

    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None

    def _put(self, replica: Replica) -> None:
        self._replicas[replica.model, replica.id] = replica
        self._publish()

    def _remove(self, replica: Replica) -> None:
        """Not where another registration has taken its place since: of a process that was started again."""
        if self._replicas.get((replica.model, replica.id)) is replica:
            del self._replicas[replica.model, replica.id]
            self._publish()

    def _publish(self) -> None:
        self._latest.set(Catalog.build(self._replicas.values(), self._latest.value))
