"""Prometheus metrics. The request path counts in plain integers; they become metrics when somebody asks.

Labels are bounded: only models and versions that are in the catalog get any; other names are counted as one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from grpc import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

__all__ = ["BUCKETS", "CONTENT_TYPE", "RouterMetrics", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
OK = StatusCode.OK
UNKNOWN_MODEL = UNKNOWN_VERSION = "(unknown)"


class _Series:
    """Requests of one model, version and code."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class RouterMetrics:
    """What a router counts. `gauges` yields the metrics that are read off other objects at the time of asking."""

    def __init__(self, gauges: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._requests: dict[tuple[str, str, str], _Series] = {}
        self._failed: dict[tuple[str, str, StatusCode], int] = {}
        self._retries: dict[str, int] = {}
        self.gauges = gauges

    def finished(self, model: str, version: str, code: StatusCode, seconds: float) -> None:
        key = (model, version, "OK" if code is OK else code.name)  # hashing an enum runs Python
        series = self._requests.get(key)
        if series is None:
            series = self._requests[key] = _Series()
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def attempt_failed(self, model: str, replica: str, code: StatusCode) -> None:
        key = (model, replica, code)
        self._failed[key] = self._failed.get(key, 0) + 1

    def retried(self, model: str) -> None:
        self._retries[model] = self._retries.get(model, 0) + 1

    @property
    def retries(self) -> int:
        """All retries so far."""
        return sum(self._retries.values())

    def collect(self) -> Iterable[Metric]:
        requests = HistogramMetricFamily(
            "inferloom_request_duration_seconds",
            "Requests as the caller saw them: time until the answer.",
            labels=["model", "version", "code"],
        )
        for (model, version, name), series in tuple(self._requests.items()):
            total, cumulated = 0, []
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), series.buckets, strict=True):
                total += count
                cumulated.append((bound, float(total)))
            requests.add_metric([model, version, name], cumulated, series.seconds)
        yield requests
        failed = CounterMetricFamily(
            "inferloom_attempt_failures", "Attempts at a replica that failed.", labels=["model", "replica", "code"]
        )
        for (model, replica, code), count in tuple(self._failed.items()):
            failed.add_metric([model, replica, code.name], count)
        yield failed
        retries = CounterMetricFamily("inferloom_retries", "Attempts after the first.", labels=["model"])
        for model, count in tuple(self._retries.items()):
            retries.add_metric([model], count)
        yield retries
        yield from self.gauges()


def gauge(name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A gauge family made at once from its rows."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def exposition(*collectors: Callable[[], Iterable[Metric]]) -> bytes:
    """All of them in Prometheus' text format, with the process's own memory, CPU and descriptors."""
    from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)

    class _Adapter:
        def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
            self.collect = collect

    for collect in collectors:
        registry.register(_Adapter(collect))
    return generate_latest(registry)
