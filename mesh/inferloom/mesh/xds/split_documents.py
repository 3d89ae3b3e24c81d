"""The documents of splits, checked: what a compiler needs of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Document, DocumentKey, Documents
from inferloom.mesh.split import KIND, Split

__all__ = ["SplitDocuments"]

log = structlog.get_logger(__name__)

AGAIN = 1.0  # seconds
FIRST = 2.0  # seconds that a start waits for the first documents


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
        self._following: asyncio.Task[None] | None = None
        self._first = asyncio.Event()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have it called each time a split came, changed or went."""
        self._changed.append(changed)

    async def start(self, documents: Documents) -> None:
        """Follow the documents. Returns when the first have been applied, or do not come."""
        self._following = asyncio.create_task(self._follow(documents), name="follow splits for the edges")
        try:
            await asyncio.wait_for(self._first.wait(), FIRST)
        except TimeoutError:
            log.warning("the splits are not known yet: requests go to the oldest versions until they are")

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

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

    async def _follow(self, documents: Documents) -> None:
        while True:
            try:
                async for present in documents.watch(KIND):
                    self.apply(present)
                    self._first.set()
            except InferloomError as error:
                log.warning("splits not followed", error=str(error))
            except Exception as error:  # those in force must not freeze for ever because of one that is odd
                log.error("splits not followed", exc_info=error)
            await self._clock.sleep(AGAIN)
