"""Reads the figures of the edges that are connected, so that the control plane tells them as a sidecar tells its Triton's.

An edge says where its Envoy's admin face is (node metadata). That has no login and listens on loopback alone, as the control
plane does, so this is the one that can ask it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.xds.discovery import Node
from inferloom.mesh.xds.edge_settings import ADMIN_KEY
from inferloom.mesh.xds.request_figures import PREFIX, RequestFigures

__all__ = ["UPTIME", "EdgeFigures", "EdgeReader", "Watcher"]

log = structlog.get_logger(__name__)

EVERY = 3.0  # seconds between readings; Envoy merges its threads' histograms every two
PATIENCE = 5.0  # seconds for an answer
UPTIME = "server.uptime"  # seconds
RETRIED, REFUSED = ".upstream_rq_retry", ".upstream_rq_retry_overflow"
WANTED = rf"^{PREFIX}\.|^cluster\..*\.upstream_rq_retry(_overflow)?$|^{UPTIME}$"
STATS = {"format": "json", "histogram_buckets": "detailed", "filter": WANTED}


class EdgeFigures:
    """Of one edge, as it was read last.

    Attributes:
        up: whether it could be read; None: it has not been tried.
        requests: those that it sent to replicas itself.
        retries, refused: made, and not made because the budget was spent; by cluster.
        clusters: what its /clusters says: the load of each server.
    """

    def __init__(self) -> None:
        self.up: bool | None = None
        self.requests = RequestFigures()
        self.retries: Mapping[str, int] = {}
        self.refused: Mapping[str, int] = {}
        self.clusters: tuple[Mapping[str, Any], ...] = ()


class Watcher(Protocol):
    """Who wants to know what is read."""

    def read(self, node: str, stats: Sequence[Mapping[str, Any]]) -> None:
        """Of one edge: "stats" of its /stats."""

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

    async def run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
            while True:
                addresses = {node.id: str(node.metadata.get(ADMIN_KEY, "")) for node in self._nodes() if node.id}
                self.edges = {node: self.edges.get(node) or EdgeFigures() for node in addresses}
                await asyncio.gather(*(self._read(session, node, at) for node, at in addresses.items()))
                if self._watcher is not None:
                    self._watcher.settle(self.edges)
                await self._clock.sleep(EVERY)

    async def _read(self, session: aiohttp.ClientSession, node: str, address: str) -> None:
        figures = self.edges[node]
        try:
            if not parse_address(address, ADMIN_KEY).loopback:
                raise InferloomError(f"{address} is not on this machine")
            stats = (await _json(session, f"http://{address}/stats", STATS)).get("stats", ())
            clusters = await _json(session, f"http://{address}/clusters", {"format": "json"})
            figures.requests.read(stats, self._slow_after())
            figures.retries, figures.refused = _of_clusters(stats, RETRIED), _of_clusters(stats, REFUSED)
            figures.clusters = tuple(clusters.get("cluster_statuses", ()))
            if self._watcher is not None:
                self._watcher.read(node, stats)
                await _set(session, f"http://{address}/runtime_modify", self._watcher.runtime(self._slow_after()))
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, InferloomError) as error:
            if figures.up is not False:
                why = str(error) or type(error).__name__
                log.warning("an edge's figures cannot be read", node=node, admin=address, why=why)
            figures.up = False
            return
        figures.up = True


def _of_clusters(stats: Iterable[Mapping[str, Any]], end: str) -> dict[str, int]:
    """Counters whose names end so, by cluster."""
    named = ((each["name"], each) for each in stats if "name" in each)
    return {
        name.removeprefix("cluster.").removesuffix(end): int(each["value"])
        for name, each in named
        if name.endswith(end)
    }


async def _json(session: aiohttp.ClientSession, url: str, query: Mapping[str, str]) -> dict[str, Any]:
    async with session.get(url, params=query) as answer:
        answer.raise_for_status()
        found: dict[str, Any] = await answer.json(content_type=None)
        return found


async def _set(session: aiohttp.ClientSession, url: str, values: Mapping[str, str]) -> None:
    async with session.post(url, params=values) as answer:
        answer.raise_for_status()
