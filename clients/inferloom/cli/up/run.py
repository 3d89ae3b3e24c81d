"""`inferloom up FILE|DIR`: the whole mesh on one machine, in the foreground."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inferloom.cli import state
from inferloom.cli.gpus import gpu_ids
from inferloom.cli.logs import hold
from inferloom.cli.signals import stop_requested
from inferloom.cli.state import MeshState, announce, new_token, reachable, state_folder
from inferloom.cli.up.applied import Applied
from inferloom.cli.up.declared import declared
from inferloom.cli.up.documents import ModelSpec, check_registry
from inferloom.cli.up.examples import example_calls
from inferloom.cli.up.fleet import Fleet, FleetSettings, ProcessFleet, TaskFleet
from inferloom.cli.up.folder import run_folder
from inferloom.cli.up.output import Output
from inferloom.cli.up.owned import declare, reassert, withdraw
from inferloom.cli.up.placement import place
from inferloom.cli.up.ready import wait_until_served
from inferloom.cli.up.repositories import Repositories
from inferloom.cli.up.roles import RouterRole, Where, router_process, router_task
from inferloom.cli.up.runtime import ensure_runtime
from inferloom.cli.up.supervisor import Supervisor
from inferloom.cli.up.versions import check_versions
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free, free_port, parse_address
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.memory import MemoryRegistry

__all__ = ["UpOptions", "run_up"]

KEEP_LOGS = 7 * 86400.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Options of `up`; None: as mesh.yaml says, else the default."""

    source: Path
    registry: str | None = None  # memory, consul or consul://HOST:PORT
    grpc: str | None = None
    admin: str = "127.0.0.1:0"
    replicas: int | None = None
    name: str | None = None
    gpus: int = 0
    inputs: tuple[str, ...] = ()  # "x:FP32[-1,4]", of a single file that does not say
    outputs: tuple[str, ...] = ()
    triton: str = "managed"
    timeout: float = 600.0  # seconds until everything declared must be served
    drain_timeout: float = 10.0
    max_message_mib: int = 64


async def run_up(options: UpOptions) -> None:
    """Run until SIGINT or SIGTERM, then drain.

    Raises:
        ConfigError, InvalidInput: something is wrong, found before anything was started.
        LoadFailed: a declared model cannot be served. Nothing is left running.
    """
    stop = stop_requested()
    output = Output()
    hold(True)  # until it is ready: what goes wrong by then ends in one line
    running = asyncio.create_task(_Up(options, output, stop).run(), name="up")
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done() and not output.is_ready:
            running.cancel()  # stopped before it was ready: unwind what has been started
        await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        stopping.cancel()
        output.done()


class _Up:
    def __init__(self, options: UpOptions, output: Output, stop: asyncio.Event) -> None:
        self._options = options
        self._output = output
        self._stop = stop
        self._token = new_token()
        self._stack = AsyncExitStack()
        self._background: list[asyncio.Task[None]] = []  # tasks that must not end while it runs

    async def run(self) -> None:
        options = self._options
        wanted = declared(options.source, options.replicas, options.name, options.gpus, options.inputs, options.outputs)
        kind = options.registry or wanted.mesh.registry or "memory"
        try:
            check_registry(kind)
        except ConfigError as error:
            raise ConfigError(f"--registry: {error}") from None
        option = "--grpc" if options.grpc or not wanted.mesh.grpc else wanted.mesh.grpc_place
        address = parse_address(options.grpc or wanted.mesh.grpc or "127.0.0.1:8081", option)
        check_free(address, option)
        check_free(parse_address(options.admin, "--admin"), "--admin")
        if not address.loopback:
            self._output.note(f"whoever reaches {address} can call the models: `inferloom router` has TLS and tokens")
        # The port is settled here: it tells this mesh from others, in its documents and in the names of its logs.
        address = Address(address.host, address.port or free_port(address.host))
        host = f"{socket.gethostname()}/{address}"
        applied = Applied(wanted.folder, wanted.models, host) if wanted.folder is not None else None
        models = applied.models() if applied is not None else wanted.models
        specs = {spec.name: replace(spec, host=host) for spec in models}
        for note in wanted.notes:
            self._output.note(note)
        gpus = await gpu_ids()
        place(specs.values(), {}, gpus)  # are there enough?
        for spec in specs.values():
            check_versions(spec)
        await ensure_runtime(options.triton, list(specs.values()), self._output.progress)
        async with self._stack:
            folder = run_folder()
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            registry, fleet, where = await self._roles(kind, address, folder)
            supervisor = Supervisor(registry, Repositories(folder / "repositories"), fleet, host, gpus)
            await declare(registry, specs, host)
            if isinstance(fleet, ProcessFleet):
                self._stack.push_async_callback(withdraw, registry, lambda: supervisor.specs)
            following = asyncio.create_task(supervisor.run(), name="supervisor")
            self._stack.push_async_callback(_end, following, fleet)
            self._background.append(following)
            if isinstance(fleet, ProcessFleet):
                reasserting = asyncio.create_task(reassert(registry, lambda: supervisor.specs), name="reassert")
                self._stack.push_async_callback(_cancel, reasserting)
                self._background.append(reasserting)
            await self._until(
                wait_until_served(
                    registry,
                    specs,
                    lambda: {**supervisor.problems, **fleet.trouble()},
                    self._output.progress,
                    options.timeout,
                ),
            )
            if applied is not None:
                keeping = asyncio.create_task(applied.keep(registry), name="keep what is applied")
                self._stack.push_async_callback(_cancel, keeping)
                self._background.append(keeping)
            await self._say_ready(where, specs, host)
            await self._until(self._stop.wait())
            self._output.progress("draining")
            await where.drain()  # first no new requests and the last answers, then the Tritons

    async def _roles(self, kind: str, address: Address, folder: Path) -> tuple[Registry, Fleet, Where]:
        options = self._options
        logs = _logs(address)
        settings = FleetSettings(logs=logs, triton=options.triton, drain_timeout=options.drain_timeout)
        role = RouterRole(
            options.admin,
            self._token,
            options.drain_timeout,
            options.max_message_mib,
            lambda: "" if self._output.is_ready else "not everything declared is served yet",
        )
        if kind == "memory":
            memory = MemoryRegistry()
            where = await router_task(memory, address, role, self._stack)
            return memory, TaskFleet(memory, settings), where
        from inferloom.cli.up.consul import consul_registry

        self._output.progress("starting Consul and the router" if kind == "consul" else f"asking {kind}")
        consul, registry, tasks = await consul_registry(kind, logs, self._output.progress, self._stack)
        self._background += tasks
        where = await router_process(consul, address, role, folder, logs, self._stack)
        return registry, ProcessFleet(consul, settings), where

    async def _say_ready(self, where: Where, specs: dict[str, ModelSpec], host: str) -> None:
        client = str(reachable(where.grpc))
        path = announce(MeshState(client, os.getpid(), self._token, where.admin, host))
        self._stack.callback(state.withdraw, path)
        hold(False)
        self._output.ready(client, where.admin, await example_calls(client, list(specs)))

    async def _until(self, awaited: Coroutine[Any, Any, Any]) -> None:
        """Await something; what must not end, and does, raises here."""
        task = asyncio.create_task(awaited)
        try:
            await asyncio.wait({task, *self._background}, return_when=asyncio.FIRST_COMPLETED)
            for ended in self._background:
                if ended.done():
                    await ended
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _end(following: asyncio.Task[None], fleet: Fleet) -> None:
    await _cancel(following)
    await fleet.close()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _logs(address: Address) -> Path:
    """The folder of this mesh's logs, emptied; those of meshes that ran long ago are removed."""
    folder = state_folder() / "logs" / str(address).replace(":", "_")
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder and SYSTEM.wall() - other.stat().st_mtime > KEEP_LOGS:
            shutil.rmtree(other, ignore_errors=True)
    for old in folder.glob("*.log"):
        old.unlink()
    return folder
