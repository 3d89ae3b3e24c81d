"""Reads the figures of the edges that are connected, so that the control plane tells them as a sidecar tells its Triton's.

An edge says where its Envoy's admin face is (node metadata). That has no login and listens on loopback alone, as the control
plane does, so this is the one that can ask it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.explain.pace import INFINITY
from inferloom.mesh.listen import parse_address
from inferloom.mesh.xds.discovery import Node
from inferloom.mesh.xds.edge_figures import WANTED, EdgeFigures
from inferloom.mesh.xds.edge_lifetime import Counted, uptime
from inferloom.mesh.xds.edge_settings import ADMIN_KEY

__all__ = ["EdgeReader", "Watcher"]

log = structlog.get_logger(__name__)

EVERY = 3.0  # seconds between readings; Envoy merges its threads' histograms every two
PATIENCE = 5.0  # seconds for an answer
KNOWN = (aiohttp.ClientError, InferloomError)  # errors that say by themselves what is wrong
MOST = 64 * 1024 * 1024  # bytes of an answer; a large mesh's /clusters has some
STATS = {"format": "json", "histogram_buckets": "detailed", "filter": WANTED}


class Watcher(Protocol):
    """Who wants to know what is read."""

    def read(self, node: str, stats: Sequence[Mapping[str, Any]], counted: Counted) -> None:
        """Of one edge: "stats" of its /stats, and how they go with those before."""

    def runtime(self, slow_after: Mapping[str, float]) -> Mapping[str, str]:
        """What its Envoy's runtime shall say."""

    def settle(self, edges: Mapping[str, EdgeFigures]) -> None:
        """All have been read."""


class EdgeReader:
    """Reads, for ever, while `run` runs.

    Args:
        nodes: the edges that are connected now.
        slow_after: seconds after which an answer misses its model's objective, by model.
        watcher: is told what was read, and tells what edges shall go by; None: nobody is, and they go on as they are.

    Attributes:
        edges: by the node's id; those that are gone are dropped.
    """

    def __init__(
        self,
        nodes: Callable[[], Iterable[Node]],
        slow_after: Callable[[], Mapping[str, float]],
        clock: Clock,
        watcher: Watcher | None = None,
    ) -> None:
        self.edges: dict[str, EdgeFigures] = {}
        self._nodes = nodes
        self._slow_after = slow_after
        self._clock = clock
        self._watcher = watcher
        self._looked = clock.now()  # when it was last seen which edges are connected
        self._settled = True

    async def run(self) -> None:
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
                while True:
                    await self._round(session)
                    await self._clock.sleep(EVERY)
        except Exception as error:
            log.exception("edges' figures are read no more", why=_why(error))
            raise

    async def _round(self, session: aiohttp.ClientSession) -> None:
        addresses = {node.id: str(node.metadata.get(ADMIN_KEY, "")) for node in self._nodes() if node.id}
        absent, self._looked = self._looked, self._clock.now()
        self.edges = {node: self.edges.get(node) or EdgeFigures(absent) for node in addresses}
        await asyncio.gather(*(self._read(session, node, at) for node, at in addresses.items()))
        if self._watcher is None:
            return
        try:
            self._watcher.settle(self.edges)
        except Exception as error:  # the next reading may be better, and edges' own figures are told in any case
            if self._settled:
                log.exception("edges' figures cannot be taken together", why=_why(error))
            self._settled = False
            return
        self._settled = True

    async def _read(self, session: aiohttp.ClientSession, node: str, address: str) -> None:
        figures = self.edges[node]
        try:
            if not parse_address(address, ADMIN_KEY).loopback:
                raise InferloomError(f"{address} is not on this machine")
            stats = (await _json(session, f"http://{address}/stats", STATS)).get("stats", ())
            if uptime(stats) == INFINITY:
                raise InferloomError(f"what {address} says is not an Envoy's")
            clusters = (await _json(session, f"http://{address}/clusters", {"format": "json"})).get(
                "cluster_statuses", ()
            )
            counted = figures.read(stats, clusters, self._slow_after(), self._clock.now())
            if self._watcher is not None:
                self._watcher.read(node, stats, counted)
                await _set(session, f"http://{address}/runtime_modify", self._watcher.runtime(self._slow_after()))
        except Exception as error:  # whatever answers there: the other edges are read all the same
            if figures.up is not False:
                log.warning("an edge's figures cannot be read", node=node, admin=address, why=_why(error))
            figures.lose()
            return
        figures.up = True


async def _json(session: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> dict[str, Any]:
    async with session.get(url, params=query, allow_redirects=False) as answer:
        _check(answer)
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > MOST:
                raise InferloomError(f"{answer.url.path} has more than {MOST} bytes")
    found: dict[str, Any] = json.loads(body)
    return found


async def _set(session: aiohttp.ClientSession, url: str, values: Mapping[str, str]) -> None:
    async with session.post(url, params=values, allow_redirects=False) as answer:
        _check(answer)


def _check(answer: aiohttp.ClientResponse) -> None:
    """The port is one that a node has named: what is there need not be an Envoy."""
    if answer.status != 200:
        raise InferloomError(f"{answer.url.path} answers with HTTP status {answer.status}")


def _why(error: Exception) -> str:
    said = str(error)
    return said if said and isinstance(error, KNOWN) else f"{type(error).__name__}: {said}".removesuffix(": ")
