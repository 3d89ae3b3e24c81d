"""The documents of splits, checked: what a compiler needs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.follower import Follower
from inferloom.mesh.registry.base import Document, DocumentKey, Documents
from inferloom.mesh.split import KIND, Split

__all__ = ["SplitDocuments"]

log = structlog.get_logger(__name__)


class SplitDocuments:
    """Follows them. Of a bad one the last good version stays, and the problem is told.

    Attributes:
        splits: those in force, by model; an unchanged one is the same object.
        problems: why the newest document of a name is not in force.
    """

    def __init__(self, *, clock: Clock = SYSTEM) -> None:
        self.splits: dict[str, Split] = {}
        self.problems: dict[str, str] = {}
        self._clock = clock
        self._seen: dict[str, Document] = {}
        self._changed: list[Callable[[], None]] = []
        self._follower = Follower(KIND, self.apply, clock, "requests go to the oldest versions")

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have it called each time a split came, changed or went."""
        self._changed.append(changed)

    async def start(self, documents: Documents) -> None:
        """Follow the documents. Returns when the first have been applied, or do not come."""
        await self._follower.start(documents)

    async def close(self) -> None:
        await self._follower.close()

    def apply(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Have these in force."""
        present = {name: document for (kind, name), document in documents.items() if kind == KIND}
        before = dict(self.splits)
        for name in self._seen.keys() - present.keys():
            self.splits.pop(name, None)
            self.problems.pop(name, None)
        for name, document in present.items():
            if self._seen.get(name) is document or document.spec is None:
                continue
            try:
                self.splits[name] = Split.from_json(name, document.spec)
                self.problems.pop(name, None)
            except InvalidInput as error:
                self.problems[name] = f"version {document.version}: {error}"
                log.error("split refused", split=name, version=document.version, error=str(error))
        self._seen = present
        if self.splits != before:
            for call in self._changed:
                call()
