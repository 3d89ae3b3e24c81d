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

__all__ = ["run_sidecar", "why_not_ready"]


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
        ready=lambda: why_not_ready(sidecar.status.value),
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


def why_not_ready(status: SidecarStatus) -> str:
    """Ready once Triton runs, every model in its repository was tried, and one of them serves, or it has none."""
    if status.phase is not Phase.SERVING:
        return f"Triton is {status.phase}" + (f": {status.message}" if status.message else "")
    if not status.looked:
        return "its models are not known yet: the repository has not been read"
    waiting = [m.model for m in status.models.values() if m.phase in (Phase.STARTING, Phase.LOADING, Phase.WARMING)]
    if waiting:
        return f"loading {', '.join(waiting)}"
    refused = [f"{m.model}: {m.message}" for m in status.models.values() if not m.versions]
    return f"no model serves: {'; '.join(refused)}" if refused and len(refused) == len(status.models) else ""


async def _say_ready(sidecar: Sidecar, admin: str) -> None:
    """One line when `/ready` says so first, as the router has one."""
    async for status in sidecar.status.watch():
        if not why_not_ready(status):
            serving = [f"{m.model}:{','.join(m.versions)}" for m in status.models.values() if m.versions]
            refused = [m.model for m in status.models.values() if not m.versions]
            left_out = f" refused={' '.join(refused)}" if refused else ""
            print(f"ready admin={admin} models={' '.join(serving) or 'none yet'}{left_out}", flush=True)
            return
