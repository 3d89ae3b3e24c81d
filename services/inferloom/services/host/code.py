"""The user's code as it is now: loaded, running, and replaced when its files change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import ModuleType

import structlog

from inferloom.clients.near import nearest
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ConfigError
from inferloom.services.answerer import Answerer
from inferloom.services.declare.app import App, ServiceDeclaration, StepDeclaration, collect
from inferloom.services.host.config import HostConfig
from inferloom.services.host.instances import Instances
from inferloom.services.host.load import Loader
from inferloom.services.host.watch import Files, next_change
from inferloom.services.host.work import Work

__all__ = ["Code", "chosen"]

log = structlog.get_logger(__name__)

FIRST, MOST = 1.0, 30.0  # seconds between two attempts to start what does not start, doubled each time


class Code:
    """One app in a host.

    Args:
        changed: called after a swap, and when `problem` is another.

    Attributes:
        problem: why the newest file, or a resource, is not as it should be; "" where all is well.
        unfit: why its services may take no new requests now; "" where they may.
        loads: how often it has been swapped in.
    """

    def __init__(self, config: HostConfig, work: Work, clock: Clock, changed: Callable[[], None]) -> None:
        self._config = config
        self._work = work
        self._clock = clock
        self._changed = changed
        self._loader = Loader(config.app) if config.app else None
        self._running: Instances | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self.app: App | None = None  # also before its services have started
        self.problem = ""
        self.unfit = ""
        self.loads = 0

    @property
    def answerers(self) -> list[Answerer]:
        return self._running.answerers if self._running is not None else []

    @property
    def ports(self) -> Mapping[str, int]:
        """HTTP ports of ASGI services, by name."""
        return self._running.ports if self._running is not None else {}

    @property
    def steps(self) -> Mapping[str, StepDeclaration]:
        return self.app.steps if self.app is not None else {}

    @property
    def services(self) -> list[ServiceDeclaration]:
        """Those that run here, whether they have started or not."""
        return chosen(self.app, self._config) if self.app is not None else []

    async def load(self) -> None:
        """Import it, for the first time.

        Raises:
            ConfigError: it does not import, or declares something wrong.
        """
        if self._loader is not None:
            self._files = Files(self._loader.files())
            self.app = await self._load(self._loader)

    async def start(self) -> None:
        """Start its services; again and again where one does not start, since what it needs may come yet."""
        pause = FIRST
        while self.app is not None and not self._has_run():
            instances = Instances(self.app, self.services, self._work, self._config.address.host)
            try:
                await instances.start()
            except ConfigError as error:
                self._show(str(error))
                await self._wait(pause)
                pause = min(2 * pause, MOST)
            else:
                if self._has_run():  # a reload was quicker
                    await _close(instances, self._config.grace)
                else:
                    self._swap(instances)

    async def reload(self) -> None:
        """Import it anew and swap it in. Where that fails the old code goes on, and `problem` says why."""
        assert self._loader is not None
        try:
            app = await self._load(self._loader)
            instances = Instances(app, chosen(app, self._config), self._work, self._config.address.host)
            await instances.start()
        except ConfigError as error:
            log.error("not reloaded: the old code goes on", problem=str(error))
            self._show(str(error))
            return
        self.app = app
        self._swap(instances)
        log.info("reloaded", file=str(self._loader.file))

    async def follow_files(self) -> None:
        """Reload whenever a file has changed, for ever."""
        if self._loader is None:
            return
        while True:
            await next_change(self._files, self._loader.files, self._clock)
            await self.reload()

    async def follow_resources(self) -> None:
        """Check the resources again and again; two failures in a row make the services unfit, one success heals them."""
        before = ""
        while True:
            await self._clock.sleep(self._config.check_every)
            why = await self._running.check() if self._running is not None else ""
            unfit = why if why and before else "" if not why else self.unfit
            before = why
            if unfit != self.unfit:
                self.unfit = unfit
                log.warning("resources", state=unfit or "well again")
                self._changed()

    async def close(self, timeout: float) -> None:
        """Close what runs, and what was replaced, each after its calls have ended; at most `timeout` seconds."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        if self._running is not None:
            await _close(self._running, timeout)

    async def idle(self, timeout: float) -> bool:
        """Wait until no call of its services is under way."""
        return self._running is None or await self._running.idle(timeout)

    async def _load(self, loader: Loader) -> App:
        """In a thread: an import may take seconds, and calls go on meanwhile."""
        try:
            return await asyncio.to_thread(loader.load, self._checked)
        finally:
            self._files.see(loader.files())

    def _has_run(self) -> bool:
        return self._running is not None

    def _checked(self, module: ModuleType) -> App:
        """What it declares, and that all of it can be served; raises ConfigError."""
        app = collect(module)
        for service in chosen(app, self._config):
            for method in service.methods:
                service.types(method)
        return app

    def _swap(self, instances: Instances) -> None:
        old, self._running = self._running, instances
        self.problem = self.unfit = ""
        self.loads += 1
        self._changed()
        if old is not None:
            task = asyncio.create_task(self._retire(old), name="close replaced services")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _retire(self, old: Instances) -> None:
        try:
            # Its HTTP ports are known until routers have seen the new ones.
            await self._clock.sleep(self._config.watch_lag)
            if not await old.idle(self._config.drain_timeout):
                log.warning("replaced code was closed with calls under way", after=self._config.drain_timeout)
        finally:
            await _close(old, self._config.grace)

    async def _wait(self, seconds: float) -> None:
        """For the next attempt: until the time is up, or a file changes."""
        waiting = asyncio.create_task(self._clock.sleep(seconds))
        loads = self.loads
        while not waiting.done() and self.loads == loads:
            await asyncio.wait({waiting}, timeout=0.1)
        waiting.cancel()

    def _show(self, problem: str) -> None:
        self.problem = problem
        self._changed()


def chosen(app: App, config: HostConfig) -> list[ServiceDeclaration]:
    """The services that run here.

    Raises:
        ConfigError: a name is none of the file's; names a near one.
    """
    if not config.services:
        return []
    for name in config.only:
        if name not in app.services:
            near = nearest(name, app.services)
            hint = f"; did you mean {near}?" if near else f"; it has {', '.join(app.services) or 'none'}"
            raise ConfigError(f"{app.file.name}: there is no service '{name}'{hint}")
    return [service for name, service in app.services.items() if not config.only or name in config.only]


async def _close(instances: Instances, timeout: float) -> None:
    try:
        async with asyncio.timeout(max(timeout, 1.0)):
            await instances.close()
    except TimeoutError:
        log.warning("closing services took too long", after=timeout)
