"""`inferloom up FILE|DIR`: the whole mesh on one machine, in the foreground."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from inferloom.cli import state
from inferloom.cli.logs import hold
from inferloom.cli.signals import stop_requested
from inferloom.cli.state import MeshState, announce, new_token, reachable, state_folder
from inferloom.cli.up.documents import PIPELINE
from inferloom.cli.up.examples import example_calls, example_requests, names_of
from inferloom.cli.up.expand import Wanted
from inferloom.cli.up.fleet import Fleet, FleetSettings, ProcessFleet, TaskFleet
from inferloom.cli.up.folder import run_folder
from inferloom.cli.up.gateway import Gateway
from inferloom.cli.up.hosts import HostSettings
from inferloom.cli.up.output import Output
from inferloom.cli.up.owned import declare, write
from inferloom.cli.up.ready import wait_until_served
from inferloom.cli.up.reload import Reload
from inferloom.cli.up.roles import RouterRole, router_process, router_task
from inferloom.cli.up.runtime import ensure_runtime
from inferloom.cli.up.settled import Settled, UpOptions, settle
from inferloom.cli.up.where import Where
from inferloom.cli.up.workers import Workers
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.listen import Address, parse_address
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.memory import MemoryRegistry

__all__ = ["UpOptions", "run_up"]

KEEP_LOGS = 7 * 86400.0  # seconds


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
        options, output = self._options, self._output
        settled = await settle(options, output)
        documents, mine = settled.documents, settled.mine
        if settled.models:
            await ensure_runtime(options.triton, list(settled.models.values()), output.progress)
        async with self._stack:
            folder = run_folder()
            self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
            registry, fleet, where, hosting = await self._roles(settled, folder)
            workers = Workers(
                registry,
                fleet,
                hosting,
                mine,
                settled.host,
                gpus=settled.gpus,
                folder=folder,
                composes=any(kind == PIPELINE for kind, _ in documents),
            )
            first = {key: spec for key, spec in documents.items() if key[0] != PIPELINE}
            await declare(registry, first, settled.host, mine)
            self._background += workers.start(self._stack)
            await self._until(self._served(registry, first, workers))
            # Pipelines are checked against what they call, so they come once that is served.
            pipelines = {key: spec for key, spec in documents.items() if key[0] == PIPELINE}
            await write(registry, pipelines, mine)
            await self._until(self._served(registry, pipelines, workers))
            if settled.applied is not None:
                self._keep_running(settled.applied.keep(registry), "keep what is applied")
            if settled.reload:
                self._keep_running(self._reload(settled, registry, workers).run(), "follow the files")
            await self._say_ready(settled, registry, where)
            self._keep_running(workers.tell(output.note), "tell problems")
            await self._until(self._stop.wait())
            output.progress("draining")
            workers.hosts.ending()
            await where.drain()  # first no new requests and the last answers, then the hosts and the Tritons

    async def _served(self, registry: Registry, wanted: Wanted, workers: Workers) -> None:
        trouble = workers.trouble_of(wanted)
        await wait_until_served(registry, wanted, trouble, self._output.progress, self._options.timeout)

    def _reload(self, settled: Settled, registry: Registry, workers: Workers) -> Reload:
        def changed(documents: Wanted) -> None:
            if settled.applied is not None:
                settled.applied.base = documents

        return Reload(
            registry,
            settled.wanted,
            settled.host,
            settled.mine,
            changed=changed,
            kick=workers.hosts.kick,
            say=self._output.note,
        )

    def _keep_running(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._stack.push_async_callback(_cancel, task)
        self._background.append(task)

    async def _roles(self, settled: Settled, folder: Path) -> tuple[Registry, Fleet, Where, HostSettings]:
        options, ports = self._options, settled.ports
        logs = _logs(ports.public)
        fleet = FleetSettings(logs=logs, triton=options.triton, drain_timeout=options.drain_timeout)
        role = RouterRole(
            options.admin,
            self._token,
            options.drain_timeout,
            options.max_message_mib,
            lambda: "" if self._output.is_ready else "not everything declared is served yet",
            ports.http,
            ports.public if ports.edge else None,
        )
        if settled.registry == "memory":
            memory = MemoryRegistry()
            where = await router_task(memory, ports.router, role, logs, self._stack)
            there = f"mesh://{reachable(where.grpc)}"
            if gateway := self._gateway(settled, there, logs):
                self._output.progress("starting Envoy and its control plane")
                await gateway.start_control()
                where = await gateway.start_edge(where)
            hosting = HostSettings(there, self._token, logs, settled.reload, options.drain_timeout)
            return memory, TaskFleet(memory, fleet), where, hosting
        from inferloom.cli.up.consul import consul_registry

        kind = settled.registry
        self._output.progress("starting Consul and the router" if kind == "consul" else f"asking {kind}")
        consul, registry, tasks = await consul_registry(kind, logs, self._output.progress, self._stack)
        self._background += tasks
        control = str(ports.control or "")
        if gateway := self._gateway(settled, consul, logs):
            await gateway.start_control()  # first: it watches Consul for the others
        where = await router_process(consul, ports.router, role, folder, logs, self._stack, control)
        if gateway is not None:
            where = await gateway.start_edge(where)
        hosting = HostSettings(consul, "", logs, settled.reload, options.drain_timeout, control)
        return registry, ProcessFleet(consul, fleet, control), where, hosting

    def _gateway(self, settled: Settled, registry: str, logs: Path) -> Gateway | None:
        """What stands in front of the router, not started; None: nothing does."""
        options = self._options
        if settled.ports.control is None:
            return None
        gateway = Gateway(settled.ports, registry, logs, options.drain_timeout, options.max_message_mib)
        self._stack.push_async_callback(gateway.close)
        self._keep_running(gateway.tell(self._output.note), "tell what is wrong with the gateway")
        return gateway

    async def _say_ready(self, settled: Settled, registry: Registry, where: Where) -> None:
        client = str(reachable(where.grpc))
        http = str(reachable(parse_address(where.http, "--http"))) if where.http else ""
        control = str(settled.ports.control or "")
        path = announce(MeshState(client, os.getpid(), self._token, where.admin, settled.host, http, control))
        self._stack.callback(state.withdraw, path)
        hold(False)
        if settled.ports.note:
            self._output.note(settled.ports.note)
        typed, mounted = names_of(registry.catalog, settled.named)
        calls = await example_requests(client, http, typed, mounted)
        calls += await example_calls(client, [*([] if http else typed), *settled.models])
        edges = settled.ports.control_admin
        self._output.ready(client, where.admin, calls, http, str(edges) if edges is not None else "")

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


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _logs(address: Address) -> Path:
    """The folder of this mesh's logs, emptied but for exposures; those of meshes that ran long ago are removed."""
    folder = state_folder() / "logs" / str(address).replace(":", "_")
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        newest = max((path.stat().st_mtime for path in (other, *other.glob("*"))), default=0.0)
        if other != folder and SYSTEM.wall() - newest > KEEP_LOGS:
            shutil.rmtree(other, ignore_errors=True)
    for old in folder.glob("*.log"):
        old.unlink()
    return folder
