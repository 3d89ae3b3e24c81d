"""One stream of the aggregated discovery service: reads and writes for a `Session`."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc
import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.xds.discovery import NAMES, Ask, Push
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.feed import Feed
from inferloom.mesh.xds.session import Session
from inferloom.mesh.xds.targets import Targets

__all__ = ["Stream"]

log = structlog.get_logger(__name__)


class Stream:
    """Ends with the client's stream.

    Args:
        settings: of edges; what a node says of itself comes on top.

    Attributes:
        problem: why nothing is sent to this client; "": nothing is wrong.
        since: when it began, in seconds since 1970.
    """

    def __init__(self, feed: Feed, targets: Targets, settings: EdgeSettings, clock: Clock) -> None:
        self.session = Session(self._refused)
        self.problem = ""
        self.since = clock.wall()
        self._feed = feed
        self._targets = targets
        self._settings = settings
        self._clock = clock
        self._asks: deque[Ask] = deque()
        self._wake = asyncio.Event()
        self._ended = False

    async def serve(self, context: Any) -> None:
        """Until the client goes. Raises ConfigError where its node says something that cannot be."""
        tasks = [asyncio.create_task(self._read(context), name="read discovery requests")]
        settings: EdgeSettings | None = None
        try:
            first = await self._first()
            if first is None:
                return
            own = self._settings.from_node(first.metadata)
            self._targets.enter(own)
            settings = own
            log.info("edge connected", node=first.id, zone=first.zone)
            tasks.append(asyncio.create_task(self._changes(), name="watch what edges are to have"))
            await self._loop(context, own)
        except ConfigError as error:
            self.problem = str(error)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if settings is not None:
                self._targets.leave(settings)
                log.info("edge gone", node=self.session.node.id)

    async def _loop(self, context: Any, settings: EdgeSettings) -> None:
        session, seen = self.session, None
        while not self._ended:
            self._wake.clear()
            said: list[Push] = []
            while self._asks:
                said += session.ask(self._asks.popleft(), self._clock.now())
            inputs = self._feed.latest.value
            if inputs is not seen:
                seen = inputs
                said += self._offer(settings)
            said += session.tick(self._clock.now())
            for push in said:
                await context.write(push)
            if not said:
                await self._wait()

    def _offer(self, settings: EdgeSettings) -> list[Push]:
        try:
            target = self._targets.of(settings, self._feed.latest.value)
        except Exception as error:  # an edge must not be cut off from what it has because of one odd record
            self.problem = f"not compiled: {error}"
            log.error("the newest state could not be compiled: edges stay with the one before", error=str(error))
            return []
        self.problem = "; ".join(
            f"model '{name}' not compiled: {_line(why)}" for name, why in self._targets.odd(settings).items()
        )
        return self.session.offer(target, self._clock.now())

    async def _first(self) -> Any:
        """The node that the first request names."""
        while not self._asks and not self._ended:
            self._wake.clear()
            await self._wake.wait()
        if not self._asks:
            return None
        if self._asks[0].node is None:
            raise ConfigError("the first request of a discovery stream must name its node")
        return self._asks[0].node

    async def _wait(self) -> None:
        """For a request, a change, or the end of the session's patience."""
        due = self.session.due
        if due is None:
            await self._wake.wait()
            return
        alarm = asyncio.create_task(self._alarm(due - self._clock.now()))
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
            await asyncio.gather(alarm, return_exceptions=True)

    async def _alarm(self, seconds: float) -> None:
        await self._clock.sleep(max(0.0, seconds))
        self._wake.set()

    async def _read(self, context: Any) -> None:
        try:
            while (ask := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                self._asks.append(ask)
                self._wake.set()
        finally:
            self._ended = True
            self._wake.set()

    async def _changes(self) -> None:
        async for _ in self._feed.latest.watch():
            self._wake.set()

    def _refused(self, kind: str, why: str, units: list[str]) -> None:
        what = ", ".join(units) if units else "still to be found"
        log.error("edge refused", node=self.session.node.id, type=NAMES.get(kind, kind), resources=what, why=why)


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
