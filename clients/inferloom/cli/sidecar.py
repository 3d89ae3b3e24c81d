"""`inferloom sidecar`: one Triton and its place in the mesh, as a process of its own."""

from __future__ import annotations

import asyncio

from inferloom.cli.registry import open_registry
from inferloom.cli.signals import stop_requested
from inferloom.mesh.admin import Admin
from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.registry_metrics import registry_metrics
from inferloom.mesh.telemetry.tracing import from_environment
from inferloom.sidecar.board import Phase, SidecarStatus
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.metrics import SidecarMetrics
from inferloom.sidecar.sidecar import Sidecar

__all__ = ["run_sidecar"]


async def run_sidecar(
    config: SidecarConfig, registry: str, admin: str, token: str | None = None, control: str | None = None
) -> None:
    """Run until SIGINT or SIGTERM, then drain.

    Raises:
        ConfigError: an option is wrong, there is no Triton, or a port is in use.
        RegistryUnavailable: the registry does not answer.
    """
    stop = stop_requested()
    source = open_registry(registry, token, control)
    tracing = from_environment("inferloom-sidecar")
    tracing.activate()
    sidecar = Sidecar(config, source)
    metrics = SidecarMetrics(sidecar, config.id, config.gpus)
    face = Admin(
        "sidecar",
        ready=lambda: _why_not_ready(sidecar.status.value),
        catalog=lambda: source.catalog,
        config=lambda: {"registry": registry, **{k: str(v) for k, v in vars(config).items()}},
        collect=lambda: (*metrics.collect(), *registry_metrics(source, {})),
    )
    running = asyncio.create_task(asyncio.sleep(0))
    stopping = asyncio.create_task(stop.wait())
    reading = asyncio.create_task(metrics.run(), name="read Triton's metrics")
    saying = asyncio.create_task(asyncio.sleep(0))
    try:
        where = await face.start(parse_address(admin, "--admin"))
        await source.start()
        running = asyncio.create_task(sidecar.run(), name="sidecar")
        saying = asyncio.create_task(_say_ready(sidecar, str(where)), name="say ready")
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await sidecar.drain()
        await running
    finally:
        for task in (stopping, reading, saying, running):
            task.cancel()
        await asyncio.gather(stopping, reading, saying, running, return_exceptions=True)
        await source.close()
        await face.close()
        tracing.close()


def _why_not_ready(status: SidecarStatus) -> str:
    """Ready once Triton runs and every model in its repository was tried."""
    if status.phase is not Phase.SERVING:
        return f"Triton is {status.phase}" + (f": {status.message}" if status.message else "")
    waiting = [m.model for m in status.models.values() if m.phase in (Phase.STARTING, Phase.LOADING, Phase.WARMING)]
    return f"loading {', '.join(waiting)}" if waiting else ""


async def _say_ready(sidecar: Sidecar, admin: str) -> None:
    """One line when Triton runs and every model has been tried, as the router has one."""
    async for status in sidecar.status.watch():
        if not _why_not_ready(status):
            serving = [f"{m.model}:{','.join(m.versions)}" for m in status.models.values() if m.versions]
            print(f"ready admin={admin} models={' '.join(serving) or 'none yet'}", flush=True)
            return
