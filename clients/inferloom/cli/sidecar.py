"""`inferloom sidecar`: one Triton and its place in the mesh, as a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from inferloom.cli.registry import open_registry
from inferloom.cli.signals import stop_requested
from inferloom.mesh.admin import Admin
from inferloom.mesh.listen import parse_address
from inferloom.mesh.telemetry.metrics import gauge
from inferloom.sidecar.board import Phase, SidecarStatus
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.load import ModelLoad
from inferloom.sidecar.sidecar import Sidecar

__all__ = ["run_sidecar"]

LOAD_EVERY = 5.0  # seconds between readings of Triton's own metrics


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
    sidecar = Sidecar(config, source)
    loads: dict[str, ModelLoad] = {}
    face = Admin(
        "sidecar",
        ready=lambda: _why_not_ready(sidecar.status.value),
        catalog=lambda: source.catalog,
        config=lambda: {"registry": registry, **{k: str(v) for k, v in vars(config).items()}},
        collect=lambda: _metrics(sidecar.status.value, loads),
    )
    running = asyncio.create_task(asyncio.sleep(0))
    stopping = asyncio.create_task(stop.wait())
    reading = asyncio.create_task(_read_load(sidecar, loads), name="read load")
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


async def _read_load(sidecar: Sidecar, loads: dict[str, ModelLoad]) -> None:
    while True:
        fresh = await sidecar.load()
        loads.clear()
        loads.update(fresh)
        await asyncio.sleep(LOAD_EVERY)


def _metrics(status: SidecarStatus, loads: Mapping[str, ModelLoad]) -> Iterable[Metric]:
    yield gauge(
        "inferloom_sidecar_model_phase",
        "1 for the phase a model is in.",
        ("model", "phase"),
        (((m.model, str(p)), float(m.phase is p)) for m in status.models.values() for p in Phase),
    )
    yield gauge(
        "inferloom_triton_generation", "Starts of Triton by this sidecar.", (), [((), float(status.generation))]
    )
    for name, text in (("pending", "Requests that wait in Triton."), ("succeeded", "Requests Triton has answered.")):
        rows = [((model,), float(getattr(load, name))) for model, load in loads.items()]
        yield gauge(f"inferloom_triton_{name}", text, ("model",), rows)
