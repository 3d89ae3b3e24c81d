"""Prometheus metrics. The request path counts in plain integers; they become metrics when somebody asks.

Labels are bounded: only models and versions that are in the catalog get any, other names are counted as one, and what has
left the catalog is dropped. A model that comes back begins at 0, which Prometheus takes for a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from grpc import StatusCode
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from inferloom.mesh.telemetry.metrics_series import BUCKETS, Durations, counter, gauge, histogram

__all__ = ["BUCKETS", "CONTENT_TYPE", "RouterMetrics", "exposition", "gauge"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OK = StatusCode.OK
UNKNOWN_MODEL = UNKNOWN_VERSION = "(unknown)"
MOST = 1000  # keys of one kind before those that have left the catalog are dropped, although nobody asks for metrics

Known = Callable[[], Mapping[str, Collection[str]]]


class RouterMetrics:
    """What a router counts.

    Args:
        gauges: yields the metrics that are read off other objects at the time of asking.
        known: ids of the replicas in the catalog, by model; None: nothing is ever dropped.

    Attributes:
        slow_after: seconds after which an answer misses its model's objective, by model.
    """

    def __init__(self, gauges: Callable[[], Iterable[Metric]] = tuple, known: Known | None = None) -> None:
        self._requests: dict[tuple[str, str, str], Durations] = {}
        self._failed: dict[tuple[str, str, StatusCode], int] = {}
        self._retries: dict[str, int] = {}
        self._slow: dict[str, int] = {}
        self._known = known
        self._most = MOST
        self.slow_after: dict[str, float] = {}
        self.gauges = gauges

    def finished(self, model: str, version: str, code: StatusCode, seconds: float) -> None:
        """A request has been answered."""
        key = (model, version, "OK" if code is OK else code.name)  # hashing an enum runs Python
        series = self._requests.get(key)
        if series is None:
            series = self._new(key)
        series.add(seconds)
        if self.slow_after and code is OK and seconds > self.slow_after.get(model, seconds):
            self._slow[model] = self._slow.get(model, 0) + 1

    def attempt_failed(self, model: str, replica: str, code: StatusCode) -> None:
        key = (model, replica, code)
        if key not in self._failed and len(self._failed) >= self._most:
            self._drop()
        self._failed[key] = self._failed.get(key, 0) + 1

    def retried(self, model: str) -> None:
        self._retries[model] = self._retries.get(model, 0) + 1

    @property
    def retries(self) -> int:
        """All retries so far, of models in the catalog."""
        return sum(self._retries.values())

    def collect(self) -> Iterable[Metric]:
        self._drop()
        yield histogram(
            "inferloom_request_duration_seconds",
            "Requests as the caller saw them: time until the answer.",
            ("model", "version", "code"),
            tuple(self._requests.items()),
        )
        yield counter(
            "inferloom_attempt_failures",
            "Attempts at a replica that failed.",
            ("model", "replica", "code"),
            [((model, replica, code.name), count) for (model, replica, code), count in self._failed.items()],
        )
        yield counter(
            "inferloom_retries",
            "Attempts after the first.",
            ("model",),
            [((model,), count) for model, count in self._retries.items()],
        )
        yield counter(
            "inferloom_objective_slow",
            "Answers without error that came later than the model's objective.",
            ("model",),
            [((model,), self._slow.get(model, 0)) for model in self.slow_after],
        )
        yield from self.gauges()

    def _new(self, key: tuple[str, str, str]) -> Durations:
        if len(self._requests) >= self._most:
            self._drop()
        series = self._requests[key] = Durations()
        return series

    def _drop(self) -> None:
        """Forget models, and replicas, that are no longer in the catalog."""
        if self._known is None:
            return
        known = self._known()
        for request in [key for key in self._requests if key[0] not in known and key[0] != UNKNOWN_MODEL]:
            del self._requests[request]
        for attempt in [key for key in self._failed if key[1] not in known.get(key[0], ())]:
            del self._failed[attempt]
        for counts in (self._retries, self._slow):
            for model in [name for name in counts if name not in known]:
                del counts[model]
        self._most = max(MOST, 2 * len(self._requests), 2 * len(self._failed))


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
