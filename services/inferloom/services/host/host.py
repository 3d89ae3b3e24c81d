"""The host: runs users' services, and pipelines, as replicas among the others.

It drains in the order that loses no request: say `draining`, wait until routers have seen it and what is in flight is done,
deregister, stop. A process in which something hangs ends itself, so that its supervisor starts another.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client.core import Metric

from inferloom.mesh.catalog import Kind, Replica, State
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.listen import Address
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.explain_service import ExplainService
from inferloom.mesh.router.router import Router, RouterSettings
from inferloom.mesh.router.split_service import figures_servicer
from inferloom.mesh.telemetry.metrics import gauge
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.services.answerer import Answerer
from inferloom.services.caller import set_caller
from inferloom.services.declare.inside import RouterCaller
from inferloom.services.host.code import Code
from inferloom.services.host.config import HostConfig
from inferloom.services.host.face import HostFace
from inferloom.services.host.pipelines import Pipelines, no_pipelines
from inferloom.services.host.records import Generations, records_of, waiting
from inferloom.services.host.registration import Registrations
from inferloom.services.host.rest_server import RestServer
from inferloom.services.host.server import HostServer
from inferloom.services.host.table import Table
from inferloom.services.host.tally import Tally
from inferloom.services.host.watchdog import REPLACE_ME, Watchdog
from inferloom.services.host.work import Work

__all__ = ["Host"]

log = structlog.get_logger(__name__)

REGISTRY_TIMEOUT = 5.0  # seconds to wait for the registry before going on without it


class Host:
    """One host process, as a library.

    Args:
        registry: where it registers and finds what its services call; started by it, closed by its owner.
        end: ends the process where its event loop hangs.

    Attributes:
        router: the one its handles call through.
        address: where it listens, once `run` has begun.
        http_port: where it speaks the protocol over REST, on the same host.
        ready: set when everything it runs is registered, or has a record that says why it is not served.
    """

    def __init__(
        self,
        config: HostConfig,
        registry: Registry,
        clock: Clock = SYSTEM,
        *,
        tracing: Tracing | None = None,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._config = config
        self._registry = registry
        self._clock = clock
        self.router = Router(
            registry, settings=RouterSettings(max_message=config.max_message, process=config.id), tracing=tracing
        )
        self._table = Table()
        self._tally = Tally()
        self._face = HostFace(self._table, self._tally, clock, self.router.tracing, self.router.explainer)
        explain = ExplainService(self.router, lambda: self._pipelines.figures())
        self._server = HostServer(
            self._face, max_message=config.max_message, figures=figures_servicer(self.router), explain=explain
        )
        self._rest = RestServer(self._face, clock, config.max_message)
        self._work = Work(config.grace, self._replace, clock)
        self._code = Code(config, self._work, clock, self._publish)
        self._pipelines: Pipelines = no_pipelines()
        self._registrations = Registrations(registry, clock, self._refused)
        self._watchdog = Watchdog(config.hang, end)
        self._base = Replica("", config.id, config.advertise, 0, locality=config.locality, pings=True)
        self._generations = Generations(1)
        self._leaving: dict[str, Answerer] = {}  # no longer served, and still answered until routers know
        self._refusals: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: list[BaseException] = []
        self._caller: RouterCaller | None = None
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()
        self._status = 0
        self.ready = asyncio.Event()
        self.address = config.address
        self.http_port = 0

    @property
    def problems(self) -> dict[str, str]:
        """What is not as it should be, by name; "" for the app's file and resources."""
        general = self._code.problem or self._code.unfit
        return {**({"": general} if general else {}), **self._pipelines.problems, **self._refusals}

    @property
    def names(self) -> list[str]:
        """What it answers to."""
        return sorted({answerer.name for answerer in self._table})

    @property
    def why_not_ready(self) -> str:
        """For /ready; "" where it is."""
        if self._draining.is_set():
            return "draining"
        return "" if self.ready.is_set() else self._code.problem or "starting"

    @property
    def stuck(self) -> int:
        """Calls that were told to stop and have not: the process cannot end by itself while there are any."""
        return len(self._work.stopping)

    async def drain(self) -> None:
        """Ask it to drain and wait until `run` has ended."""
        self._draining.set()
        await self._ended.wait()

    async def run(self) -> int:
        """Serve until drained, or until something hangs. Returns the exit status: 0, or 70 to be started again.

        Raises:
            ConfigError: the file does not import, declares something wrong, or a port is in use.
            RegistryUnavailable: the registry does not answer.
        """
        self.router.tracing.activate()
        try:
            await self._code.load()
            await self.router.start()
            self._caller = RouterCaller(self.router)
            set_caller(self._caller)
            self.address = await self._server.start(self._config.address, self._config.option)
            self.http_port = await self._rest.start(self.address.host)
            self._base = replace(
                self._base, port=self.address.port, http_port=self.http_port, check=str(self._advertised)
            )
            known = [r.generation for r in self._registry.catalog.replicas() if r.id == self._config.id]
            self._generations = Generations(max(known, default=0) + 1)
            self._registrations.start()
            self._watchdog.start()
            self._begin()
            await self._draining.wait()
            await self._drain()
            if self._failures:
                raise self._failures[0]
        finally:
            await self._stop()
            self._ended.set()
        return self._status

    def collect(self) -> Iterable[Metric]:
        """Its metrics, those of its router among them."""
        served = frozenset(self.names)
        yield from self._tally.collect(served)
        yield from self._work.times.collect(served)
        yield from self._pipelines.collect()
        yield gauge("inferloom_host_ongoing", "Requests under way.", (), [((), float(self._face.busy))])
        yield gauge("inferloom_host_stopping", "Calls told to stop that have not.", (), [((), float(self.stuck))])
        yield gauge("inferloom_host_loads", "Times the code was swapped in.", (), [((), float(self._code.loads))])
        yield from self.router.metrics.collect()

    @property
    def _advertised(self) -> Address:
        return Address(self._config.advertise, self.address.port)

    def _begin(self) -> None:
        self._spawn(self._start(), "start services")
        self._spawn(self._code.follow_resources(), "check resources")
        if self._config.reload:
            self._spawn(self._code.follow_files(), "follow files")

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        """None of these tasks may fail: the host ends with what one of them raised."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)
            self._draining.set()

    async def _start(self) -> None:
        if self._config.pipelines:
            self._pipelines = Pipelines(self._registry, self.router, lambda: self._code.steps, self._publish)
            await self._pipelines.start()
        await self._code.start()
        while not await self._registrations.settle(REGISTRY_TIMEOUT):
            log.warning("the registry does not take this host's records yet")
        self.ready.set()

    def _publish(self) -> None:
        """Bring the table and the records to what runs now."""
        if self._draining.is_set():
            return
        answerers = [*self._code.answerers, *self._pipelines.answerers.values()]
        base = replace(self._base, state=State.SERVING)
        problems = self.problems
        records = records_of(base, answerers, self._generations, self._code.ports, problems)
        if self._code.unfit:  # not `starting`: what is in flight shall end
            unfit = {name: r for name, r in records.items() if r.kind is Kind.SERVICE}
            records |= {name: replace(record, state=State.DRAINING) for name, record in unfit.items()}
        records |= self._waiting(records)
        for name, record in self._registrations.wanted.items():
            if name not in records and record.state is not State.STARTING:
                self._leave(name, record)
            elif name not in records:
                self._registrations.want(name, None)
        for name in records:
            self._leaving.pop(name, None)
        self._table.replace([*self._leaving.values(), *answerers])
        for name, record in records.items():
            self._registrations.want(name, record)
        serving = [name for name, record in records.items() if record.state is State.SERVING]
        self._spawn(self._server.tell(serving), "tell health")

    def _waiting(self, records: Mapping[str, Replica]) -> dict[str, Replica]:
        """What is declared and cannot be served, with the reason."""
        found = {}
        if self._code.problem and not self._code.answerers:
            for service in self._code.services:
                found[service.name] = waiting(self._base, service.name, Kind.SERVICE, self._code.problem)
        for name, problem in self._pipelines.problems.items():
            if name not in records:
                found[name] = waiting(self._base, name, Kind.PIPELINE, problem)
        return found

    def _leave(self, name: str, record: Replica) -> None:
        """It is no longer there: routers that do not know yet still get an answer."""
        if name in self._leaving:
            return
        self._leaving[name] = self._table.find(name)
        self._registrations.want(name, replace(record, state=State.DRAINING))
        self._spawn(self._retire(name), f"retire {name}")

    async def _retire(self, name: str) -> None:
        await self._registrations.settle(REGISTRY_TIMEOUT)
        await self._clock.sleep(self._config.watch_lag)
        if self._leaving.pop(name, None) is not None:
            self._registrations.want(name, None)
            self._publish()

    def _refused(self, name: str, why: str) -> None:
        self._refusals[name] = why

    def _replace(self, call: str) -> None:
        """A call does not stop: only the end of the process will stop it."""
        log.error("this process drains and ends, to be started again", because=call)
        self._status = REPLACE_ME
        self._draining.set()

    async def _drain(self) -> None:
        log.info("draining")
        await self._server.leave()
        self._rest.leave()
        for name, record in self._registrations.wanted.items():
            self._registrations.want(name, replace(record, state=State.DRAINING))
        await self._registrations.settle(REGISTRY_TIMEOUT)
        await self._clock.sleep(self._config.watch_lag)
        end = self._clock.now() + self._config.drain_timeout
        idle = await self._server.idle(self._config.drain_timeout)
        if not (idle and await self._code.idle(max(0.0, end - self._clock.now()))):
            log.warning("stopped with requests in flight", after=self._config.drain_timeout)
        for name in self._registrations.wanted:
            self._registrations.want(name, None)
        if not await self._registrations.settle(REGISTRY_TIMEOUT):
            log.warning("the registry was not reached: its records stay until it drops them itself")

    async def _stop(self) -> None:
        self._draining.set()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._registrations.close()
        await self._pipelines.close()
        await self._server.close()
        await self._rest.close()
        await self._code.close(self._config.grace)
        self._work.close()
        set_caller(None)
        if self._caller is not None:
            await self._caller.close()
        await self.router.close()
        self._watchdog.stop()
