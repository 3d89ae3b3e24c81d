"""The registry's face: who is there, and the documents everybody agrees on.

Three implementations: `memory` (one process), `consul`, and `remote` (a process that subscribes to another's catalog
and documents over `MeshService`). The rest of the mesh sees only these protocols.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inferloom.mesh.catalog import Catalog, Replica

__all__ = ["Document", "DocumentKey", "Documents", "Registration", "Registry", "Spec"]

Spec = Mapping[str, Any]  # JSON-able


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a declarative thing (a model, later a policy, a split, a pipeline).

    `version` starts at 1 and grows by one with each write; a deletion is a version too, with `spec` None.
    """

    kind: str
    name: str
    spec: Spec | None
    version: int
    author: str  # who wrote it, as far as is known: user@host
    time: float  # seconds since 1970

    @property
    def key(self) -> DocumentKey:
        return (self.kind, self.name)


DocumentKey = tuple[str, str]  # (kind, name)


class Registration(Protocol):
    """A replica's place in the registry. It re-asserts itself until it is deregistered."""

    @property
    def replica(self) -> Replica: ...

    async def update(self, replica: Replica) -> None:
        """Replace the record (state, versions, weight ...); model and id stay as they are."""

    async def deregister(self) -> None:
        """Take the record out, now. Idempotent."""


class Documents(Protocol):
    """A small versioned store. Unchanged documents are the same objects from one snapshot to the next."""

    async def get(self, kind: str, name: str) -> Document | None:
        """The newest version, or None where there is none or it was deleted."""

    async def put(
        self, kind: str, name: str, spec: Spec | None, *, expected_version: int | None = None, author: str = ""
    ) -> Document:
        """Write a new version; `spec` None deletes.

        Args:
            expected_version: the version the writer has seen, 0 for "must not exist yet"; None overwrites whatever is there.

        Raises:
            Conflict: the newest version is another one.
            RegistryUnavailable: the store does not answer.
        """

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        """All kept versions, oldest first (deletions included)."""

    def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        """The present documents (of one kind, or all), then each newer state. Deleted ones are not in it."""


class Registry(Protocol):
    """Where replicas register and everybody watches."""

    @property
    def documents(self) -> Documents: ...

    @property
    def catalog(self) -> Catalog:
        """The newest snapshot known here; never blocks."""

    @property
    def age(self) -> float:
        """Seconds since the source last confirmed the snapshot; 0 where the source is this process."""

    async def register(self, replica: Replica) -> Registration:
        """Put a replica into the registry.

        Raises:
            InvalidInput: its name cannot be registered (wrong characters, or it clashes with another's but for case).
            RegistryUnavailable: the registry does not answer.
        """

    def watch(self) -> AsyncIterator[Catalog]:
        """The present catalog, then each newer one. Never ends by itself; an outage yields the last one with fresh=False."""

    async def start(self) -> None:
        """Begin to watch. Returns once there is a first snapshot: the source's, or the last good one kept on disk."""

    async def close(self) -> None:
        """Stop watching; registrations made here are no longer re-asserted (they are not deregistered)."""
