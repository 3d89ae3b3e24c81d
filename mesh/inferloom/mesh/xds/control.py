"""The control plane as a server: discovery for edges, MeshService for everybody else, and what it knows of both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client.core import Metric

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.listen import Address, check_free
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.mesh_service import MeshService
from inferloom.mesh.router.methods import Collector, MethodTable
from inferloom.mesh.router.objective_metrics import objectives
from inferloom.mesh.router.security import Tokens
from inferloom.mesh.xds.discovery import Node
from inferloom.mesh.xds.edge_explain import EdgeExplainService
from inferloom.mesh.xds.edge_metrics import edge_metrics
from inferloom.mesh.xds.edge_paces import EdgePaces
from inferloom.mesh.xds.edge_reader import EdgeReader
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.edge_stories import EdgeStories
from inferloom.mesh.xds.feed import Feed
from inferloom.mesh.xds.metrics import collect
from inferloom.mesh.xds.server import DiscoveryService
from inferloom.mesh.xds.status import ControlService
from inferloom.v1 import control_pb2_grpc, explain_pb2_grpc, mesh_pb2_grpc

__all__ = ["ControlPlane", "ControlSettings"]

MOST = 256 * 1024 * 1024  # bytes of a message: a catalog or a snapshot of a large mesh
OPTIONS = [
    ("grpc.max_send_message_length", MOST),
    ("grpc.max_receive_message_length", MOST),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),  # edges look after their connection more often than clients
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSettings:
    """Where a control plane listens, and what its edges are like."""

    address: Address = field(default_factory=lambda: Address("127.0.0.1", 9091))
    edge: EdgeSettings = field(default_factory=EdgeSettings)  # what its node says of itself comes on top
    write_token: str | None = None  # token that writing needs; None: nobody may


class ControlPlane:
    """Serves a started registry until it is closed. Keeps no state of its own: several may run beside each other.

    Discovery answers carry the mesh's tokens, so it listens on loopback alone.
    """

    def __init__(
        self, registry: Registry, settings: ControlSettings = ControlSettings(), clock: Clock = SYSTEM
    ) -> None:
        self.address = settings.address
        self._settings = settings
        self._feed = Feed(registry, clock)
        self.discovery = DiscoveryService(self._feed, settings.edge, clock)
        self._mesh = MeshService(registry, clock, None, settings.write_token)
        self._status = ControlService(self.discovery, registry, clock)
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        tokens = Tokens(settings.edge.tokens)
        explainer = Explainer(clock, random.Random(), "control", self._promised)
        paces = EdgePaces(explainer, lambda: registry.catalog)
        self._stories = EdgeStories(explainer, lambda: self._feed.latest.value, tokens)
        self._explain = EdgeExplainService(explainer, paces, tokens)
        self._reader = EdgeReader(self._nodes, self._slow_after, clock, paces)
        self._reading: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(options=OPTIONS)

    async def start(self) -> Address:
        """Listen. Returns the address, with the port that was chosen where 0 was asked for.

        Raises:
            ConfigError: the address is not on loopback, or in use.
        """
        address = self._settings.address
        if not address.loopback:
            raise ConfigError(f"--grpc: {address} can be reached from elsewhere: a control plane listens on loopback")
        check_free(address, "--grpc")
        await self._feed.start()
        others = Collector()
        mesh_pb2_grpc.add_MeshServiceServicer_to_server(self._mesh, others)  # type: ignore[no-untyped-call]
        control_pb2_grpc.add_ControlServiceServicer_to_server(self._status, others)  # type: ignore[no-untyped-call]
        explain_pb2_grpc.add_ExplainServiceServicer_to_server(self._explain, others)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, others)
        handlers = {**others.handlers, **self.discovery.handlers(), **self._stories.handlers()}
        self._server.add_generic_rpc_handlers((MethodTable(handlers, {}),))
        try:
            self.address = Address(address.host, self._server.add_insecure_port(str(address)))
        except RuntimeError as error:
            raise ConfigError(f"--grpc: cannot listen on {address}: {error}") from None
        await self._server.start()
        self._reading = asyncio.create_task(self._reader.run(), name="read the figures of edges")
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)
        return self.address

    def collect(self) -> Iterable[Metric]:
        """Its metrics, and those of the edges that are connected."""
        yield from collect(self.discovery)
        yield from edge_metrics(self._reader.edges, self._feed.registry.catalog)

    async def close(self) -> None:
        """Edges and subscribers go on with what they have, and turn to another control plane."""
        await self._health.enter_graceful_shutdown()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._mesh.close()
        await self._server.stop(None)
        await self._feed.close()

    def _nodes(self) -> Iterable[Node]:
        return [stream.session.node for stream in self.discovery.streams]

    def _promised(self, model: str) -> float | None:
        known = self._feed.registry.catalog.models.get(model)
        return self._feed.policies.of(known).objective.latency if known is not None else None

    def _slow_after(self) -> Mapping[str, float]:
        known = objectives(self._feed.policies.written)
        return {name: each.latency for name, each in known.items() if each.latency is not None}
