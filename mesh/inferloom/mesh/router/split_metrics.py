"""Prometheus metrics of splits. Labels are bounded by the documents: splits, their arms, and status codes."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from inferloom.mesh.router.splitting import Splitting
from inferloom.mesh.splits.figures import MirrorFigures
from inferloom.mesh.splits.histogram import COARSE, DIFFERENCES, Histogram
from inferloom.mesh.telemetry.metrics import gauge

__all__ = ["split_metrics"]

ARM = ["split", "arm"]


def split_metrics(splitting: Splitting) -> Iterable[Metric]:
    """Requests, latencies and what mirrors differ by, of every split in force; and which documents were refused."""
    requests = CounterMetricFamily("inferloom_split_requests", "Requests of an arm.", labels=[*ARM, "code"])
    seconds = HistogramMetricFamily(
        "inferloom_split_duration_seconds", "Time until the answer, of an arm's answers without error.", labels=ARM
    )
    pairs = CounterMetricFamily(
        "inferloom_split_mirrored",
        "Requests copied to a mirror, by how its answer compared, and those that were not, by reason.",
        labels=[*ARM, "result"],
    )
    apart = HistogramMetricFamily(
        "inferloom_split_mirror_difference", "Largest absolute difference of a mirror's answer.", labels=ARM
    )
    parts = []
    for name, live in [*splitting.routes.items(), *splitting.splits.items()]:
        for arm in live.split.arms:
            figures = live.figures.of(arm)
            for code, count in figures.codes.items():
                requests.add_metric([name, arm.name, code], count)
            _add(seconds, [name, arm.name], figures.latency, COARSE)
            parts.append(((name, arm.name), arm.sample if arm.mirror else arm.part))
            if arm.mirror:
                _add(apart, [name, arm.name], figures.mirror.difference, DIFFERENCES)
                for result, count in _results(figures.mirror).items():
                    pairs.add_metric([name, arm.name, result], count)
    yield requests
    yield seconds
    yield pairs
    yield apart
    yield gauge(
        "inferloom_split_part",
        "Part of the units that belong to an arm, or of the requests mirrored.",
        ("split", "arm"),
        parts,
    )
    refused = (((name,), 1.0) for name in splitting.problems)
    yield gauge(
        "inferloom_split_refused", "1 where the newest document of a split is not in force.", ("split",), refused
    )


def _results(mirror: MirrorFigures) -> dict[str, int]:
    return {"agreed": mirror.agreed, "differed": mirror.differed, "failed": mirror.failed, **mirror.skipped}


def _add(family: HistogramMetricFamily, labels: list[str], values: Histogram, bounds: tuple[float, ...]) -> None:
    buckets = [(str(bound), float(values.below(bound))) for bound in bounds]
    family.add_metric(labels, [*buckets, ("+Inf", float(values.count))], values.sum)
