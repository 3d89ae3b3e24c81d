"""Every metric that a role has, asked of the role itself: made and never started."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import Metric

from inferloom.mesh.admin import Admin
from inferloom.mesh.catalog import EMPTY
from inferloom.mesh.listen import Address
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.registry_metrics import registry_metrics
from inferloom.mesh.router.router import Router
from inferloom.mesh.xds.control import ControlPlane, ControlSettings
from inferloom.services.composer.pipeline_metrics import pipeline_metrics
from inferloom.services.host.config import HostConfig
from inferloom.services.host.host import Host
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.metrics import SidecarMetrics
from inferloom.sidecar.sidecar import Sidecar

__all__ = ["Family", "families"]

SUFFIX = {"counter": "_total"}


class Family(NamedTuple):
    """One metric."""

    name: str  # as it is asked for
    kind: str
    labels: tuple[str, ...]
    text: str


def families() -> dict[str, list[Family]]:
    """By role."""
    return asyncio.run(_all())


async def _all() -> dict[str, list[Family]]:
    registry = MemoryRegistry()
    admin = Admin("", ready=str, catalog=lambda: EMPTY, config=dict, collect=tuple)
    router = Router(registry)
    host = Host(HostConfig(pipelines=True), registry)
    sidecar = Sidecar(SidecarConfig(repository=Path()), registry)
    control = ControlPlane(registry, ControlSettings(address=Address("127.0.0.1", 0)))
    common = _told(admin._own())
    of_router = _told(router.metrics.collect())
    hosted = _told([*host.collect(), *pipeline_metrics([])])
    watched = _told(registry_metrics(registry, {}))
    beside = _told(SidecarMetrics(sidecar, "").collect())
    return {
        "every role": common,
        "router": of_router,
        "host (services and pipelines)": [family for family in hosted if family not in of_router],
        "sidecar": beside + watched[:-1],
        "control": _told(control.collect()) + watched[:-1],
    }


def _told(metrics: Iterable[Metric]) -> list[Family]:
    return [
        Family(m.name + SUFFIX.get(m.type, ""), m.type, tuple(getattr(m, "_labelnames", ())), m.documentation)
        for m in metrics
    ]
