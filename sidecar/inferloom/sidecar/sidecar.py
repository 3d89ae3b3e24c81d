"""The sidecar: beside each Triton, not in the data path.

It starts a Triton (or attaches to one), keeps what is loaded equal to what the repository holds, registers each model
that has answered its first request, takes it out while Triton does not answer, starts Triton again when it dies or
hangs, and drains in the order that loses no request: say `draining`, wait until routers have seen it and what is in
flight is done, deregister, stop.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Coroutine, Mapping
from typing import Any, NoReturn

import structlog

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Registry
from inferloom.sidecar.attached import Follower
from inferloom.sidecar.board import Board, Phase, SidecarStatus
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.diagnosis import why_ended
from inferloom.sidecar.drain import wait_until_idle
from inferloom.sidecar.health import HealthServer
from inferloom.sidecar.lifecycle import Lifecycle, Scanner
from inferloom.sidecar.load import ModelLoad, fetch
from inferloom.sidecar.probes import Prober
from inferloom.sidecar.registrar import Registrar
from inferloom.sidecar.repository import scan as scan_repository
from inferloom.sidecar.runtime import Runtime, find
from inferloom.sidecar.server import Server, StartFailed, attach, refuse_vulnerable, start_server
from inferloom.sidecar.triton import TritonError
from inferloom.sidecar.watchdog import Backoff, Watchdog

__all__ = ["Sidecar"]

log = structlog.get_logger(__name__)

STOP_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
REGISTRY_TIMEOUT = 5.0  # seconds to wait for the registry before going on without it
ATTACHED_INTERVAL = 4  # scan intervals between looks at an attached Triton's index


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
        self._rng = rng or seeded()
        self._scan = scan
        self._health = HealthServer()
        self._registrar = Registrar(registry, clock, self._rng, self._refused)
        record = Replica(
            model="", id=config.id, host=config.advertise, port=0, weight=config.weight, locality=config.locality
        )
        self._board = Board(record, self._registrar.want)
        self._server: Server | None = None
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def status(self) -> Latest[SidecarStatus]:
        """What Triton and each model are doing, for progress displays."""
        return self._board.status

    @property
    def pid(self) -> int | None:
        """Process id of the Triton it runs now; None for an attached one, or while there is none."""
        return self._server.child.pid if self._server is not None and self._server.child is not None else None

    @property
    def check(self) -> str:
        """ "host:port" of its grpc.health.v1 service, once it runs."""
        return self._health.address

    async def load(self) -> Mapping[str, ModelLoad]:
        """Queue and counters by model, from Triton's metrics; empty where they are not known now."""
        server = self._server
        if server is None or not server.metrics_port:
            return {}
        try:
            return await fetch("127.0.0.1", server.metrics_port)
        except OSError:
            return {}

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
            await self._health.start(config.health_host, config.health_port)
            self._board.check = self._health.address
            tasks = [asyncio.create_task(self._registrar.run()), asyncio.create_task(self._tell_health())]
            try:
                await self._supervise_until_drain(runtime)
                if self._server is not None:
                    await self._drain(self._server)
            finally:
                await self._withdraw()
                await cancel(*tasks)
        finally:
            if self._server is not None:
                await self._server.stop(STOP_GRACE)
                self._server = None
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

    async def _supervise_until_drain(self, runtime: Runtime | None) -> None:
        supervise = asyncio.create_task(self._supervise(runtime), name="supervise Triton")
        drain = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((supervise, drain), return_when=asyncio.FIRST_COMPLETED)
            if supervise.done():
                supervise.result()
        finally:
            await cancel(supervise, drain)

    async def _supervise(self, runtime: Runtime | None) -> NoReturn:
        """Run one Triton after the other. Raises ConfigError where the first does not come up."""
        backoff = Backoff(self._rng, self._config.restart_first, self._config.restart_most)
        # A sidecar that was itself started again goes on counting where its record stands.
        known = [replica.generation for replica in self._registry.catalog.replicas() if replica.id == self._config.id]
        first = generation = max(known, default=0) + 1
        while True:
            began = self._clock.now()
            try:
                self._server = await self._start(runtime, generation)
            except (ConfigError, StartFailed) as error:
                if generation == first:
                    raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from None
                reason = str(error)
                began = self._clock.now()  # not one healthy second
            else:
                reason = await self._live(self._server)
            self._board.down(reason, lost=True)
            if self._server is not None:
                await self._server.stop(0.0)
                self._server = None
            pause = backoff.next(self._clock.now() - began)
            log.error("Triton is started again", reason=reason, pause=round(pause, 2))
            await self._clock.sleep(pause)
            generation += 1

    async def _start(self, runtime: Runtime | None, generation: int) -> Server:
        if runtime is None:
            server = await attach(self._config, generation)
        else:
            server = await start_server(runtime, self._config, generation)
        try:
            version = await server.client.version()
            refuse_vulnerable(version, server.life.host, allowed=self._config.allow_vulnerable_triton)
        except TritonError as error:
            await server.stop(0.0)
            raise StartFailed(f"Triton does not say its version: {error.text}") from None
        except ConfigError:
            await server.stop(STOP_GRACE)
            raise
        return server

    async def _live(self, server: Server) -> str:
        """Keep models loaded and records true while this Triton lives; returns why it is over."""
        config, board, client = self._config, self._board, server.client
        board.begin(server.life)
        board.up()
        follow: Coroutine[Any, Any, None]
        if config.attached:
            interval = config.scan_interval * ATTACHED_INTERVAL
            follow = Follower(client, board, self._clock, interval=interval, timeout=config.load_timeout).follow()
        else:
            assert config.repository is not None
            follow = Lifecycle(
                client,
                board,
                config.repository,
                self._scan,
                self._seen,
                self._clock,
                interval=config.scan_interval,
                timeout=config.load_timeout,
            ).follow()
        hung_after = math.inf if config.attached else config.hung_after
        watchdog = Watchdog(config.probes, hung_after, self._clock.now())
        prober = Prober(
            client, board, watchdog, self._clock, interval=config.probe_interval, timeout=config.probe_timeout
        )
        following = asyncio.create_task(follow, name="follow models")
        probing = asyncio.create_task(prober.run(), name="probe Triton")
        tasks: list[asyncio.Task[Any]] = [following, probing]
        if server.child is not None:
            tasks.append(asyncio.create_task(server.child.wait(), name="wait for Triton"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if server.child is not None and tasks[2].done():
                return why_ended(server.child.returncode, server.child.head, server.child.tail)
            if probing.done():
                return probing.result()
            following.result()
            raise AssertionError("following models never ends by itself")
        finally:
            await cancel(*tasks)

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


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """End tasks and wait for them; what they raise by then is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
