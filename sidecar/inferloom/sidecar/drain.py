"""Waits until a Triton has answered what it has taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from inferloom.mesh.clock import Clock
from inferloom.sidecar.load import fetch
from inferloom.sidecar.server import Server
from inferloom.sidecar.triton import ModelState, TritonError

__all__ = ["wait_until_idle"]

log = structlog.get_logger(__name__)

POLL = 0.05  # seconds


async def wait_until_idle(server: Server, models: Iterable[str], clock: Clock, timeout: float) -> bool:
    """True once nothing is in flight; False where something still is after `timeout` seconds.

    Triton's metrics count what waits for its turn, not what runs. So, once nothing waits, the models are unloaded: a
    model leaves the state UNLOADING when the last of its requests has been answered.
    """
    names = set(models)
    deadline = clock.now() + timeout
    try:
        while await _pending(server) > 0:
            if clock.now() >= deadline:
                return False
            await clock.sleep(POLL)
        loaded = {name for name, versions in (await server.client.index()).items() if name in names and ready(versions)}
        await asyncio.gather(*(server.client.unload(name, max(1.0, deadline - clock.now())) for name in loaded))
        while True:
            index = await server.client.index()
            states = {version.state for name in names for version in index.get(name, {}).values()}
            if not states & {"READY", "UNLOADING"}:
                return True
            if clock.now() >= deadline:
                return False
            await clock.sleep(POLL)
    except TritonError as error:
        log.warning("Triton does not say what is in flight", reason=error.text)
        return False


def ready(versions: Mapping[str, ModelState]) -> bool:
    return any(version.state == "READY" for version in versions.values())


async def _pending(server: Server) -> float:
    if not server.metrics_port:
        return 0.0
    try:
        return sum(load.pending for load in (await fetch(server.metrics_host, server.metrics_port)).values())
    except OSError as error:
        log.info("Triton's metrics not read", reason=str(error))
        return 0.0
