"""What one edge has counted of requests that it sent to replicas itself, taken apart and judged as a router judges.

Envoy's histograms hold two digits of a value: 1 ms apart up to 100 ms, 10 ms up to a second. A value is whole milliseconds,
rounded down, so what lies in the step from 7 on took less than 8.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.telemetry.metrics_series import Durations
from inferloom.mesh.xds.edge_lifetime import Counted
from inferloom.mesh.xds.outcome import outcome
from inferloom.mesh.xds.response_flags import GONE
from inferloom.mesh.xds.types import MODEL_CLUSTERS, REST_CLUSTERS, STREAM

__all__ = ["PREFIX", "STAT", "TAG", "RequestFigures", "Requests", "histograms", "requests_of", "upper"]

PREFIX, STAT, TAG = "inferloom", "milliseconds", "request"
_BEFORE = f"{PREFIX}.{STAT}.{TAG}."
FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
UNKNOWN_STATUS = "2"  # also what Envoy says of an answer over gRPC that has no status


class Requests(NamedTuple):
    """Requests that are counted together."""

    model: str
    version: str  # of the replicas they went to, where those of a version are asked on their own
    code: str
    kind: str  # "stream", or "" for one answer


def requests_of(name: str) -> Requests | None:
    """Which requests a histogram counts; None for those that the router process has answered, and counts itself."""
    form, http, status, raised, where = name.removeprefix(_BEFORE).split("/", 4)
    kind, _, target = where.partition("/")
    target, _, asked = target.partition("/")
    flags = set(raised.split(",")) - {"-"}
    gone = bool(flags & GONE)
    rest = kind == REST_CLUSTERS
    model, _, version = target.partition("@")
    answered = int(http) if http.isdecimal() else 0
    if rest or not status.isdecimal() or (status == UNKNOWN_STATUS and (gone or not answered)):
        status = ""
    code = outcome(status, answered, gone=gone)
    if kind not in (MODEL_CLUSTERS, REST_CLUSTERS):
        # Envoy's own failures on the way to the router process, which has not seen them.
        return Requests(UNKNOWN_MODEL, "", code, "") if flags and code in FAULTS else None
    asked = asked.removeprefix("-")
    return Requests(asked or model, "" if asked else version, code, STREAM if form == STREAM else "")


def histograms(stats: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Requests, Mapping[str, Any]]]:
    """Those of "stats" of Envoy's /stats?histogram_buckets=detailed that count requests, and which."""
    for entry in stats:
        for histogram in entry.get("histograms", {}).get("details", ()):
            key = requests_of(histogram["name"])
            if key is not None:
                yield key, histogram


def upper(step: Mapping[str, Any]) -> float:
    """Milliseconds that what a step of a histogram has counted took less than."""
    return float(step["lower_bound"] + max(step["width"], 1))


class RequestFigures:
    """Of one edge.

    Attributes:
        requests: durations by what is counted together.
        slow: answers without error that came later than the model's objective, since it was set.
    """

    def __init__(self) -> None:
        self.requests: Mapping[Requests, Durations] = {}
        self.slow: dict[str, int] = {}
        self._above: Mapping[str, int] = {}  # histogram: how many were above the objective
        self._limits: Mapping[str, float] | None = None  # model: the objective at the last reading

    def read(self, stats: Sequence[Mapping[str, Any]], slow_after: Mapping[str, float], counted: Counted) -> None:
        """Take what Envoy's /stats?histogram_buckets=detailed says under "stats".

        Args:
            slow_after: seconds after which an answer misses its model's objective, by model.
            counted: how it goes with the last reading.
        """
        found: dict[Requests, Durations] = {}
        above: dict[str, int] = {}
        self.slow = {model: self.slow.get(model, 0) for model in slow_after}
        for key, histogram in histograms(stats):
            durations = found.setdefault(key, Durations())
            for step in histogram["totals"]:
                _add(durations, step)
            if key.code == "OK" and not key.kind and (limit := slow_after.get(key.model)) is not None:
                late = sum(step["count"] for step in histogram["totals"] if step["lower_bound"] >= 1000 * limit)
                above[histogram["name"]] = late
                if self._judges(key.model, limit, counted):
                    known = 0 if counted is Counted.ANEW else self._above.get(histogram["name"], 0)
                    self.slow[key.model] += max(0, late - known)
        self.requests, self._above, self._limits = found, above, dict(slow_after)

    def _judges(self, model: str, limit: float, counted: Counted) -> bool:
        """Whether what has come since the last reading came under this limit: one that is new begins with nothing."""
        if self._limits is None:
            return counted is Counted.ANEW
        return counted is not Counted.BEFORE and self._limits.get(model) == limit


def _add(durations: Durations, step: Mapping[str, Any]) -> None:
    lower, end, count = step["lower_bound"], upper(step), step["count"]
    durations.buckets[bisect_left(durations.bounds, round(end / 1000, 6))] += count
    durations.seconds += count * (lower + end) / 2000
