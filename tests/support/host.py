"""Hosts of users' services: in this process, and as processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from inferloom.clients.aio import MeshClient
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.server import ServerSettings
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.services.host.config import HostConfig
from inferloom.services.host.host import Host
from tests.support.router import LOOPBACK

__all__ = ["WRITABLE", "HostProcess", "client", "eventually", "host_process", "running_host", "write_app"]

LAG = 0.1  # seconds
TOKEN = "for-tests"
WRITABLE = ServerSettings(address=LOOPBACK, write_token=TOKEN)  # of a router that host processes register with


def write_app(path: Path, text: str) -> Path:
    """A Python file with this text, its indentation taken off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


@asynccontextmanager
async def running_host(
    registry: Registry, app: Path, tracing: Tracing | None = None, **options: Any
) -> AsyncIterator[Host]:
    """A host in this process, ready."""
    settings: dict[str, Any] = {"watch_lag": LAG, "hang": 0.0, "drain_timeout": 2.0, **options}
    host = Host(HostConfig(app=str(app), **settings), registry, tracing=tracing)
    running = asyncio.create_task(host.run(), name="host")
    ready = asyncio.create_task(host.ready.wait())
    try:
        await asyncio.wait({running, ready}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        assert host.ready.is_set(), host.problems
        yield host
    finally:
        ready.cancel()
        if not running.done():
            await host.drain()
        await asyncio.gather(running, return_exceptions=True)
        sys.path[:] = [entry for entry in sys.path if entry != str(app.parent)]
        for name in [n for n, m in sys.modules.items() if str(getattr(m, "__file__", "")).startswith(str(app.parent))]:
            del sys.modules[name]


class HostProcess:
    """`inferloom host` as a process."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, ready: str) -> None:
        self._process = process
        self.log = log
        self.ready = ready  # the line it printed

    @property
    def pid(self) -> int:
        return self._process.pid

    def said(self) -> str:
        """What it wrote to stderr so far."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self, timeout: float = 20.0) -> int:
        """Its exit status, once it has ended."""
        return await asyncio.wait_for(self._process.wait(), timeout)


@asynccontextmanager
async def host_process(
    folder: Path, mesh: str, *options: str, replica: str = "host", wait: bool = True
) -> AsyncIterator[HostProcess]:
    """One that registers with the mesh at an address; ended with the block, however it is then."""
    log = folder / f"{replica}.log"
    argv = ["host", *options, "--registry", f"mesh://{mesh}", "--id", replica, "--drain-timeout", "5"]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "inferloom.cli", "--log-level", "info"),
            *argv,
            env={**os.environ, "INFERLOOM_TOKEN": TOKEN},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=output,
        )
    assert process.stdout is not None
    try:
        line = b""
        if wait:
            async with asyncio.timeout(60):
                while not line.startswith(b"ready "):  # the file may print as well
                    line = await process.stdout.readline()
                    assert line, log.read_text()
        yield HostProcess(process, log, line.decode().strip())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        while await process.stdout.read(4096):
            continue


@asynccontextmanager
async def client(address: str) -> AsyncIterator[MeshClient]:
    async with MeshClient(address) as mesh:
        yield mesh


async def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout, f"not within {timeout} s"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
