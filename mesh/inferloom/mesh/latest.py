"""A value that changes, and those who wait for its changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")

__all__ = ["Latest"]


class Latest(Generic[T]):
    """Holds the newest value. Reading is free; a watcher sees the newest, never a backlog.

    Control loops `set` a new immutable value, the request path reads `value`; a slow watcher skips what it missed.
    """

    __slots__ = ("_changed", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self._changed: set[asyncio.Future[None]] = set()

    def set(self, value: T) -> None:
        """Swap the value and wake the watchers. The same object again wakes nobody."""
        if value is self.value:
            return
        self.value = value
        for future in self._changed:
            if not future.done():
                future.set_result(None)
        self._changed.clear()

    async def watch(self) -> AsyncIterator[T]:
        """The present value, then each newer one."""
        seen = self.value
        yield seen
        while True:
            if self.value is seen:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._changed.add(future)
                try:
                    await future
                finally:
                    self._changed.discard(future)
            seen = self.value
            yield seen
