"""What a control plane counts, as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, Metric

from inferloom.mesh.telemetry.metrics import gauge
from inferloom.mesh.xds.discovery import NAMES
from inferloom.mesh.xds.server import DiscoveryService

__all__ = ["collect"]


def collect(discovery: DiscoveryService) -> Iterable[Metric]:
    """Of a running discovery service."""
    texts = ("Answers sent to edges.", "Answers that edges took.", "Answers that edges refused.")
    families = [
        CounterMetricFamily(f"inferloom_xds_{what}", text, labels=["type"])
        for what, text in zip(("pushes", "acks", "nacks"), texts, strict=True)
    ]
    for kind, counts in discovery.counts().items():
        for family, count in zip(families, counts, strict=True):
            family.add_metric([NAMES.get(kind, "other")], count)
    yield from families
    streams, targets = discovery.streams, discovery.targets
    quarantined = sum(1 for stream in streams for _ in stream.session.quarantined())
    yield gauge("inferloom_xds_edges", "Edges that are connected.", (), [((), float(len(streams)))])
    yield gauge("inferloom_xds_quarantined", "Resources that an edge does not take.", (), [((), float(quarantined))])
    compiled = (("seconds", "Seconds spent compiling.", targets.seconds), ("", "Compilations.", targets.compilations))
    for unit, text, value in compiled:
        family = CounterMetricFamily("_".join(filter(None, ("inferloom_xds_compile", unit))), text)
        family.add_metric([], value)
        yield family
