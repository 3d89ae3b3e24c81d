"""How many calls of a service are under way, and how many may be."""

from __future__ import annotations

import asyncio
from types import TracebackType

from inferloom.mesh.errors import Exhausted

__all__ = ["Gate"]

PUSHBACK = 0.05  # seconds until the next attempt, elsewhere where there is another replica


class Gate:
    """`with gate:` around each call.

    Args:
        name: of the service, for messages.
        most: calls at once (`max_ongoing=`); 0: no bound.
    """

    __slots__ = ("_idle", "_most", "_name", "ongoing")

    def __init__(self, name: str, most: int = 0) -> None:
        self._name = name
        self._most = most
        self._idle = asyncio.Event()
        self._idle.set()
        self.ongoing = 0

    def __enter__(self) -> None:
        """Raises Exhausted ("shed": another replica may have room) where as many calls are under way as may be."""
        if self._most and self.ongoing >= self._most:
            raise Exhausted(
                f"service '{self._name}' works on {self.ongoing} calls already, its max_ongoing",
                reason="shed",
                pushback=PUSHBACK,
            )
        self.ongoing += 1
        self._idle.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ongoing -= 1
        if not self.ongoing:
            self._idle.set()

    async def idle(self) -> None:
        """Return once no call is under way."""
        await self._idle.wait()
