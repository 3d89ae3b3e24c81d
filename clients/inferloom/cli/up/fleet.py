"""The sidecars that `up` runs: as tasks of this process, or each as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from inferloom.cli.up.keeper import Keeper
from inferloom.cli.up.placement import Place
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Registry
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.sidecar import Sidecar

__all__ = ["INFERLOOM", "Fleet", "FleetSettings", "ProcessFleet", "TaskFleet"]

log = structlog.get_logger(__name__)
RESTART = 1.0  # seconds before a sidecar that ended unexpectedly is started again
INFERLOOM = (sys.executable, "-m", "inferloom.cli")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """What all sidecars share."""

    logs: Path  # folder for Triton's output
    triton: str = "managed"
    drain_timeout: float = 10.0  # seconds


class Fleet(Protocol):
    """Sidecars by the id of their place."""

    async def add(self, place: Place, repository: Path) -> None:
        """Start the sidecar of a place."""

    async def remove(self, place_id: str) -> None:
        """Drain it and stop it."""

    async def close(self) -> None:
        """Drain and stop all."""

    def trouble(self) -> Mapping[str, str]:
        """Sidecars that could not start, and why."""


class TaskFleet:
    """Sidecars as tasks of this process; the Tritons are its children."""

    def __init__(self, registry: Registry, settings: FleetSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._sidecars: dict[str, Sidecar] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._trouble: dict[str, str] = {}

    async def add(self, place: Place, repository: Path) -> None:
        config = SidecarConfig(
            repository=repository,
            triton=self._settings.triton,
            replica_id=place.id,
            gpus=place.gpus,
            drain_timeout=self._settings.drain_timeout,
            watch_lag=0.1,
            log_path=self._settings.logs / f"{place.id}.log",
        )
        self._sidecars[place.id] = Sidecar(config, self._registry)
        self._tasks[place.id] = asyncio.create_task(self._run(place.id, config), name=f"sidecar {place.id}")

    async def _run(self, place_id: str, config: SidecarConfig) -> None:
        while True:
            try:
                return await self._sidecars[place_id].run()
            except InferloomError as error:
                self._trouble[place_id] = str(error)
                return None
            except Exception as error:
                log.error("sidecar ended unexpectedly and is started again", id=place_id, exc_info=error)
            await asyncio.sleep(RESTART)
            self._sidecars[place_id] = Sidecar(config, self._registry)

    async def remove(self, place_id: str) -> None:
        task = self._tasks.pop(place_id)
        draining = asyncio.create_task(self._sidecars.pop(place_id).drain())
        await asyncio.wait({task, draining}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        if not task.done():
            task.cancel()
        await asyncio.gather(task, draining, return_exceptions=True)
        self._trouble.pop(place_id, None)  # whoever comes to this place next is not to be blamed for it

    async def close(self) -> None:
        await asyncio.gather(*(self.remove(place_id) for place_id in tuple(self._tasks)))

    def trouble(self) -> Mapping[str, str]:
        return self._trouble


class ProcessFleet:
    """Each sidecar is a process of its own, `inferloom sidecar`, and they meet in the registry."""

    def __init__(self, registry: str, settings: FleetSettings, control: str = "") -> None:
        self._registry = registry
        self._control = control  # HOST:PORT of the process that watches Consul for them; "": none
        self._settings = settings
        self._keepers: dict[str, Keeper] = {}

    async def add(self, place: Place, repository: Path) -> None:
        settings = self._settings
        argv = [*INFERLOOM, "sidecar", "--repository", str(repository), "--id", place.id]
        argv += ["--registry", self._registry, "--triton", settings.triton, "--admin", "127.0.0.1:0"]
        argv += ["--drain-timeout", str(settings.drain_timeout), "--log", str(settings.logs / f"{place.id}.log")]
        argv += ["--control", self._control] if self._control else []
        if place.gpus:
            argv += ["--gpus", ",".join(place.gpus)]
        keeper = Keeper(argv, f"sidecar {place.id}", settings.logs / f"{place.id}.sidecar.log")
        self._keepers[place.id] = keeper
        keeper.start()

    async def remove(self, place_id: str) -> None:
        await self._keepers.pop(place_id).stop(self._settings.drain_timeout + 10)

    async def close(self) -> None:
        await asyncio.gather(*(self.remove(place_id) for place_id in tuple(self._keepers)))

    def trouble(self) -> Mapping[str, str]:
        return {key: keeper.trouble for key, keeper in self._keepers.items() if keeper.trouble}
