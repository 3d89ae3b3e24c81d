"""`inferloom host`: users' services and pipelines, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from inferloom.cli.registry import open_registry
from inferloom.cli.signals import stop_requested
from inferloom.mesh.admin import Admin
from inferloom.mesh.listen import parse_address
from inferloom.mesh.splits.log import ExposureLog
from inferloom.mesh.telemetry.tracing import from_environment
from inferloom.services.host.config import HostConfig
from inferloom.services.host.host import Host

__all__ = ["describe_app", "run_host"]


async def run_host(
    config: HostConfig,
    registry: str,
    admin: str,
    token: str | None = None,
    exposures: Path | None = None,
    control: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain.

    Args:
        exposures: file for who was shown which arm, of the calls inside services and of the pipelines' Routes.

    The process ends itself with status 70 where its code hangs: its supervisor starts another.

    Raises:
        ConfigError: the file does not import, an option is wrong, a port is in use, or `exposures` cannot be written.
        RegistryUnavailable: the registry does not answer.
    """
    stop = stop_requested()
    source = open_registry(registry, token, control)
    tracing = from_environment("inferloom-host", users_code=True)
    host = Host(config, source, tracing=tracing)
    face = Admin(
        "host",
        ready=lambda: host.why_not_ready,
        catalog=lambda: source.catalog,
        config=lambda: {"registry": registry, **{name: str(getattr(config, name)) for name in HostConfig.__slots__}},
        collect=host.collect,
    )
    record = ExposureLog(exposures) if exposures is not None else None
    if record is not None:
        await record.start()
        host.router.exposures.add(record)
    where = await face.start(parse_address(admin, "--admin"))
    running = asyncio.create_task(host.run(), name="host")
    stopping = asyncio.create_task(stop.wait())
    saying = asyncio.create_task(_say_ready(host, str(where)), name="say ready")
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await host.drain()
        status = await running
    finally:
        for task in (stopping, saying, running):
            task.cancel()
        await asyncio.gather(stopping, saying, running, return_exceptions=True)
        if record is not None:
            await record.close()
        await source.close()
        await face.close()
        tracing.close()
    if status or host.stuck:
        # What does not stop would keep the interpreter from ending.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def describe_app(source: str) -> str:
    """What a file declares, as JSON.

    Raises:
        ConfigError: it does not import, or declares something wrong.
    """
    from inferloom.services.host.describe import describe

    with redirect_stdout(sys.stderr):  # what the file prints is no JSON
        return describe(source)


async def _say_ready(host: Host, admin: str) -> None:
    """One line once everything is registered, as the router has one."""
    await host.ready.wait()
    print(f"ready grpc={host.address} admin={admin} services={' '.join(host.names) or 'none yet'}", flush=True)
