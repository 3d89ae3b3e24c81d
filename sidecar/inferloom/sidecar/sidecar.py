"""The sidecar: beside each Triton, not in the data path.

It starts a Triton (or attaches to one), keeps what is loaded equal to what the repository holds, registers each model
that has answered its first request, takes it out while Triton does not answer, starts Triton again when it dies or
hangs, and drains in the order that loses no request: say `draining`, wait until routers have seen it and what is in
flight is done, deregister, stop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import structlog

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.telemetry.tracing import operation
from inferloom.sidecar.board import Board, Phase, SidecarStatus
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.drain import wait_until_idle
from inferloom.sidecar.health import HealthServer
from inferloom.sidecar.lifecycle import Scanner
from inferloom.sidecar.load import ModelLoad, fetch_text, parse
from inferloom.sidecar.registrar import Registrar
from inferloom.sidecar.repository import scan as scan_repository
from inferloom.sidecar.runtime import Runtime, find
from inferloom.sidecar.server import Server, refuse_vulnerable
from inferloom.sidecar.supervisor import Supervisor, cancel

__all__ = ["Sidecar"]

log = structlog.get_logger(__name__)

REGISTRY_TIMEOUT = 5.0  # seconds to wait for the registry before going on without it


class Sidecar:
    """One Triton and its place in the mesh.

    Args:
        registry: where its models are registered; started and closed by its owner.
        scan: tells what the repository holds.
    """

    def __init__(
        self,
        config: SidecarConfig,
        registry: Registry,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        *,
        scan: Scanner = scan_repository,
    ) -> None:
        self._config = config
        self._registry = registry
        self._clock = clock
        rng = rng or seeded()
        self._health = HealthServer()
        self._registrar = Registrar(registry, clock, rng, self._refused)
        record = Replica(
            model="",
            id=config.id,
            host=config.advertise,
            port=0,
            weight=config.weight,
            locality=config.locality,
            pings=not config.attached,  # an attached one has options of its own
        )
        self._board = Board(record, self._registrar.want)
        self._supervisor = Supervisor(config, self._board, self._seen, clock, rng, scan)
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def status(self) -> Latest[SidecarStatus]:
        """What Triton and each model are doing, for progress displays."""
        return self._board.status

    @property
    def pid(self) -> int | None:
        """Process id of the Triton it runs now; None for an attached one, or while there is none."""
        server = self._supervisor.server
        return server.child.pid if server is not None and server.child is not None else None

    @property
    def check(self) -> str:
        """ "host:port" of its grpc.health.v1 service, once it runs."""
        return self._health.address

    async def load(self) -> Mapping[str, ModelLoad]:
        """Queue and counters by model, from Triton's metrics; empty where they are not known now."""
        return parse(await self.triton_text())

    async def triton_text(self) -> str:
        """Triton's metrics as it gives them; "" where they are not known now."""
        server = self._supervisor.server
        if server is None or not server.metrics_port:
            return ""
        try:
            return await fetch_text(server.metrics_host, server.metrics_port)
        except OSError:
            return ""

    async def drain(self) -> None:
        """Ask it to drain and wait until `run` has ended."""
        self._draining.set()
        await self._ended.wait()

    async def run(self) -> None:
        """Serve until drained. Cancelled: stops at once, without waiting for what is in flight.

        Raises:
            ConfigError: it cannot run as it was told to; says why and what to change.
        """
        config = self._config
        try:
            runtime = self._prepare()
            # A sidecar that was itself started again goes on counting where its records stand.
            known = [r.generation for r in self._registry.catalog.replicas() if r.id == config.id]
            self._supervisor.generation = max(known, default=0)
            await self._health.start(config.health_host, config.health_port)
            self._board.check = self._health.address
            supervising = asyncio.create_task(self._supervisor.run(runtime), name="supervise Triton")
            telling = [asyncio.create_task(self._registrar.run()), asyncio.create_task(self._tell_health())]
            try:
                try:
                    await self._until_drained(supervising, *telling)
                finally:
                    await cancel(supervising)
                if self._supervisor.server is not None:
                    with operation("drain"):
                        await self._drain(self._supervisor.server)
            finally:
                await self._withdraw()
                await cancel(*telling)
        finally:
            await self._supervisor.stop()
            await self._health.close()
            self._ended.set()

    def _prepare(self) -> Runtime | None:
        config = self._config
        if config.repository is not None and not config.repository.is_dir():
            raise ConfigError(f"model repository {config.repository}: there is no such folder")
        if config.attached:
            return None
        runtime = find(config.triton, gpus=config.gpus)
        if runtime.version:
            refuse_vulnerable(runtime.version, config.advertise, allowed=config.allow_vulnerable_triton)
        return runtime

    async def _until_drained(self, *tasks: asyncio.Task[Any]) -> None:
        """Return when asked to drain; raise what ends a task, since none ends by itself."""
        drain = asyncio.create_task(self._draining.wait())
        try:
            done, _ = await asyncio.wait((drain, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in done - {drain}:
                task.result()
        finally:
            await cancel(drain)

    async def _seen(self) -> None:
        """Wait until routers have had the time to see the records as they are now."""
        await self._registrar.settle(REGISTRY_TIMEOUT)
        await self._clock.sleep(self._config.watch_lag)

    async def _drain(self, server: Server) -> None:
        log.info("draining")
        self._board.draining()
        await self._seen()
        if server.child is not None:
            idle = await wait_until_idle(server, self._board.models, self._clock, self._config.drain_timeout)
            if not idle:
                log.warning("stopped with requests in flight", after=self._config.drain_timeout)

    async def _withdraw(self) -> None:
        """Take all records out of the registry."""
        for model in list(self._board.models):
            self._board.forget(model)
        if not await self._registrar.settle(REGISTRY_TIMEOUT):
            log.warning("the registry was not reached: its records stay until it drops them itself")

    def _refused(self, model: str, why: str) -> None:
        self._board.show(model, Phase.FAILED, why, ())

    async def _tell_health(self) -> None:
        told: set[str] = set()
        async for status in self._board.status.watch():
            await self._health.set("", serving=status.phase is Phase.SERVING)
            for model in told - status.models.keys():
                await self._health.set(model, serving=None)
            for model in status.models:
                record = self._board.record(model)
                await self._health.set(model, serving=record is not None and record.state is State.SERVING)
            told = set(status.models)
