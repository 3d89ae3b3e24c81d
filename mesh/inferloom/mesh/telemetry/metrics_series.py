"""Durations counted in plain integers, and the Prometheus families made of them when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from grpc import StatusCode
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

__all__ = ["BUCKETS", "Codes", "Durations", "Layers", "counter", "gauge", "histogram"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
OK = StatusCode.OK

Labels = tuple[str, ...]


class Durations:
    """A histogram of values, seconds by default.

    Args:
        bounds: upper bounds of the buckets, ascending; one more holds what is above.
    """

    __slots__ = ("bounds", "buckets", "seconds")

    def __init__(self, bounds: Sequence[float] = BUCKETS) -> None:
        self.bounds = bounds
        self.buckets = [0] * (len(bounds) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        return sum(self.buckets)


class Codes:
    """Durations by status code. The code that nearly every request ends with costs no look into a dict."""

    __slots__ = ("failed", "ok")

    def __init__(self) -> None:
        self.ok = Durations()
        self.failed: dict[str, Durations] = {}

    def add(self, code: StatusCode | None, seconds: float) -> None:
        """One has ended; without a code: the caller went away."""
        if code is OK:
            self.ok.add(seconds)
            return
        name = "CANCELLED" if code is None else code.name
        durations = self.failed.get(name)
        if durations is None:
            durations = self.failed[name] = Durations()
        durations.add(seconds)

    def rows(self) -> Iterable[tuple[str, Durations]]:
        """Names of codes that were seen, and their durations."""
        if self.ok.count:
            yield "OK", self.ok
        yield from tuple(self.failed.items())


class Layers:
    """Seconds that requests of one model have spent in each layer of the router, less what was inside of it."""

    __slots__ = ("admission", "attempt", "retry", "split")

    def __init__(self) -> None:
        self.admission = self.split = self.retry = self.attempt = 0.0

    def rows(self) -> Iterable[tuple[str, float]]:
        return ((name, getattr(self, name)) for name in ("admission", "split", "retry", "attempt"))


def gauge(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> Metric:
    """A gauge family made at once from its rows."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def counter(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, float]]) -> Metric:
    """A counter family; its samples end in "_total"."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def histogram(name: str, text: str, labels: Labels, rows: Iterable[tuple[Labels, Durations]]) -> Metric:
    """A histogram family."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, durations in rows:
        total, cumulated = 0, []
        for bound, count in zip((*map(str, durations.bounds), "+Inf"), durations.buckets, strict=True):
            total += count
            cumulated.append((bound, float(total)))
        family.add_metric(values, cumulated, durations.seconds)
    return family
