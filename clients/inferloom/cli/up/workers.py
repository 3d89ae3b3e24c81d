"""What serves: Tritons with models, hosts with services and pipelines, each made what the documents say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from inferloom.cli.up.documents import PIPELINE
from inferloom.cli.up.fleet import Fleet, ProcessFleet
from inferloom.cli.up.host_supervisor import HostSupervisor
from inferloom.cli.up.hosts import HostFleet, HostSettings
from inferloom.cli.up.owned import Mine, reassert, withdraw
from inferloom.cli.up.problems import Standing, follow_problems, tell_problems
from inferloom.cli.up.repositories import Repositories
from inferloom.cli.up.supervisor import Supervisor
from inferloom.mesh.registry.base import DocumentKey, Registry, Spec

__all__ = ["Workers"]


class Workers:
    """Of one mesh.

    Args:
        host: how its documents name it.
        gpus: ids of this machine's.
        folder: for the Tritons' repositories.
        composes: there will be pipelines.
    """

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        settings: HostSettings,
        mine: Mine,
        host: str,
        *,
        gpus: Sequence[str],
        folder: Path,
        composes: bool,
    ) -> None:
        self._registry = registry
        self._fleet = fleet
        self._mine = mine
        self._shares = isinstance(fleet, ProcessFleet)  # a Consul: it may forget, and hold others' documents
        self.hosts = HostFleet(settings)
        self._models = Supervisor(registry, Repositories(folder / "repositories"), fleet, host, gpus, self._of_services)
        self._services = HostSupervisor(
            registry,
            self.hosts,
            mine,
            host,
            shared=not self._shares,
            composes=composes,
            gpus=gpus,
            taken=lambda: self._models.gpus,
        )
        self._standing = Standing()

    def start(self, stack: AsyncExitStack) -> list[asyncio.Task[None]]:
        """The tasks that must not end. The stack drains and stops what they have started, hosts before Tritons."""
        if self._shares:
            stack.push_async_callback(withdraw, self._registry, self._mine)
        tasks = [_begin(self._models.run(), "supervise models")]
        stack.push_async_callback(_end, tasks[0], self._fleet)
        tasks.append(_begin(self._services.run(), "supervise hosts"))
        stack.push_async_callback(_end, tasks[1], self.hosts)
        beside = {
            "follow documents": self._mine.follow(self._registry),
            "follow problems": follow_problems(self._registry, self._standing),
        }
        if self._shares:
            beside["reassert"] = reassert(self._registry, self._mine)
        for name, work in beside.items():
            task = _begin(work, name)
            stack.push_async_callback(_cancel, task)
            tasks.append(task)
        return tasks

    def trouble_of(self, wanted: Mapping[DocumentKey, Spec]) -> Callable[[], Mapping[str, str]]:
        """Tells why some of these cannot be served; what is said of a pipeline counts once it has stood for a while."""
        names = {name for kind, name in wanted if kind == PIPELINE}
        long = self._standing.long

        def trouble() -> dict[str, str]:
            return {
                **self._models.problems,
                **self._fleet.trouble(),
                **self._services.problems,
                **self.hosts.trouble(),
                **{name: f"{name}: {why}" for name, why in long(self._registry.catalog).items() if name in names},
            }

        return trouble

    async def tell(self, say: Callable[[str], None]) -> None:
        """Say what goes wrong with pipelines from now on, for ever."""
        await tell_problems(self._registry, self._standing, say)

    def _of_services(self) -> frozenset[str]:
        return self._services.gpus


def _begin(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)


async def _end(following: asyncio.Task[None], fleet: Fleet | HostFleet) -> None:
    await _cancel(following)
    await fleet.close()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
