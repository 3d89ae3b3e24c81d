"""What the client has learnt of the models: each one's metadata, fetched once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from inferloom.clients.metadata import ModelMetadata
from inferloom.mesh.errors import Unsupported

__all__ = ["Signatures"]

Fetch = Callable[[str, str], Awaitable[ModelMetadata]]


class Signatures:
    """Metadata by model and version. Callers who ask at once share one fetch, and one who gives up leaves it running.

    Args:
        fetch: asks the server; Unsupported where it tells no metadata, which is remembered as None.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], ModelMetadata | None] = {}
        self._asked: dict[tuple[str, str], asyncio.Task[ModelMetadata | None]] = {}

    def known(self, model: str, version: str) -> bool:
        return (model, version) in self._known

    def drop(self, model: str, version: str) -> None:
        """Forget it: the model may have changed."""
        self._known.pop((model, version), None)

    async def get(self, model: str, version: str, fetch: Fetch) -> ModelMetadata | None:
        """The metadata; None where the server has none to tell. Raises what `fetch` raises, and remembers no failure."""
        key = (model, version)
        if key in self._known:
            return self._known[key]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._learn(key, fetch))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask
        return await asyncio.shield(task)

    async def _learn(self, key: tuple[str, str], fetch: Fetch) -> ModelMetadata | None:
        try:
            try:
                found = await fetch(*key)
            except Unsupported:
                found = None
            self._known[key] = found
            return found
        finally:
            self._asked.pop(key, None)

    async def close(self) -> None:
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
