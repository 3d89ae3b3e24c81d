"""The host processes of `up`: users' services and pipelines, each process kept running."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inferloom.cli.logs import FORMAT
from inferloom.cli.up.fleet import INFERLOOM
from inferloom.cli.up.hosting import HostPlace
from inferloom.cli.up.keeper import Keeper

__all__ = ["HostFleet", "HostSettings"]

LOOK = 0.5  # seconds between looks which process has another's place now
REPEATED = "registration is repeated"  # what a host says of a router that is gone, as it is when all of it stops
LEAVE = 10.0  # seconds beyond its drain time-out that a host may take to end


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What all hosts share."""

    registry: str  # as `inferloom host --registry` takes it
    token: str  # allows writing to it, where that needs one
    logs: Path
    reload: bool = False
    drain_timeout: float = 10.0  # seconds
    control: str = ""  # HOST:PORT of the process that watches Consul for them; "": none


@dataclass(slots=True)
class _Host:
    place: HostPlace
    keeper: Keeper
    generation: int
    ready: asyncio.Event


class HostFleet:
    """Host processes by the id of their place.

    One whose place has changed is not stopped before the one that takes its place answers.
    """

    def __init__(self, settings: HostSettings) -> None:
        self._settings = settings
        self._hosts: dict[str, _Host] = {}
        self._retiring: dict[asyncio.Task[None], _Host] = {}
        self._ending = False

    async def apply(self, places: Mapping[str, HostPlace]) -> None:
        """Start and stop processes until there is one for each place."""
        gone = [self._hosts.pop(key) for key in tuple(self._hosts) if key not in places]
        for key, place in places.items():
            known = self._hosts.get(key)
            if known is not None and known.place == place:
                continue
            self._hosts[key] = self._start(place, known.generation + 1 if known is not None else 0)
            if known is not None:
                task = asyncio.create_task(self._retire(known), name=f"retire {key}")
                self._retiring[task] = known
                task.add_done_callback(lambda ended: self._retiring.pop(ended, None) and None)
        await asyncio.gather(*(self._stop(host) for host in gone))

    def trouble(self) -> Mapping[str, str]:
        """Places whose process stays down, and why."""
        return {key: host.keeper.trouble for key, host in self._hosts.items() if host.keeper.trouble}

    def ending(self) -> None:
        """The router goes first: what hosts say of that is for their logs alone."""
        self._ending = True

    def kick(self) -> None:
        """The code has changed: those that wait before they are started again, or stay down, are started now."""
        for host in self._hosts.values():
            host.keeper.kick()

    async def close(self) -> None:
        """Drain and stop all."""
        hosts = [*self._hosts.values(), *self._retiring.values()]
        for task in tuple(self._retiring):
            task.cancel()
        self._hosts.clear()
        await asyncio.gather(*(self._stop(host) for host in hosts))

    def _start(self, place: HostPlace, generation: int) -> _Host:
        ready = asyncio.Event()
        keeper = Keeper(
            self._command(place, generation),
            f"host {place.id}",
            self._settings.logs / f"{place.id}.host.log",
            lambda line: ready.set() if line.startswith("ready ") else self._show(line),
            env=self._environment(place),
        )
        keeper.start()
        return _Host(place, keeper, generation, ready)

    def _command(self, place: HostPlace, generation: int) -> list[str]:
        settings = self._settings
        argv = [*INFERLOOM, "host"]
        argv += [str(source) for source in place.sources[:1]]
        for name in place.services:
            argv += ["--only", name]
        if not place.services:
            argv.append("--no-services")
        if place.pipelines:
            argv.append("--pipelines")
        key = f"{place.id}.{generation}" if generation else place.id
        argv += ["--id", key, "--registry", settings.registry]
        argv += ["--control", settings.control] if settings.control else []
        argv += ["--exposures", str(settings.logs / f"exposures-{key}.jsonl")]
        argv += ["--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--drain-timeout", str(settings.drain_timeout)]
        return [*argv, "--reload" if settings.reload else "--no-reload"]

    def _environment(self, place: HostPlace) -> dict[str, str]:
        env = {FORMAT: "text", "PYTHONUNBUFFERED": "1"}
        if place.gpus:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(place.gpus)
        if self._settings.token:
            env["INFERLOOM_TOKEN"] = self._settings.token
        return env | dict(place.env)

    async def _retire(self, host: _Host) -> None:
        """End a process once the present one of its place is ready, or there is none any more."""
        while True:
            present = self._hosts.get(host.place.id)
            if present is None or present.ready.is_set():
                break
            with suppress(TimeoutError):  # it may itself have been replaced meanwhile
                await asyncio.wait_for(present.ready.wait(), LOOK)
        await self._stop(host)

    async def _stop(self, host: _Host) -> None:
        await host.keeper.stop(self._settings.drain_timeout + LEAVE)

    def _show(self, line: str) -> None:
        """What users' code prints, and what is logged of it, is for whoever runs `up`; it is in the host's log as well."""
        if not (self._ending and REPEATED in line):
            print(line, file=sys.stderr, flush=True)
