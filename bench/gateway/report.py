"""The gateway beside a bare Envoy: medians, ratios within a round, and the targets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.gateway.serve import BARE, DIRECT, EDGE
from bench.report import Target, ordered

__all__ = ["Added", "GatewayReport", "Loaded"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One run of h2load, 64 in flight."""

    way: str
    round: int
    requests: int
    rate: float  # per second
    median_us: float
    cpu_us: float  # of the way's own process, per request


@dataclass(frozen=True, slots=True)
class Added:
    """Alternating calls, one at a time."""

    what: str
    over: str  # the way it is held against
    way: str
    round: int
    base_ms: float  # the other's median
    added_ms: float


BOUNDS = {  # what, way, over -> milliseconds
    ("a tiny call", EDGE, DIRECT): 0.30,
    ("1 MiB", EDGE, DIRECT): 3.0,
    ("10 MiB", EDGE, DIRECT): 15.0,
    ("a typed call", "router", "router"): 0.35,
    ("1 MiB, typed", "router", "router"): 3.0,
}


@dataclass(frozen=True, slots=True)
class GatewayReport:
    loaded: Sequence[Loaded]
    added: Sequence[Added]
    machine: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)

    def median(self, way: str, figure: str) -> float | None:
        values = [getattr(sample, figure) for sample in self.loaded if sample.way == way]
        return median(values) if values else None

    def paired(self, way: str, over: str, figure: str, by: Callable[[float, float], float]) -> float | None:
        """The median over rounds of `by(way's, over's)`: the machine's swings from round to round cancel out."""
        of = {(sample.way, sample.round): getattr(sample, figure) for sample in self.loaded}
        pairs = [(of[way, r], of[over, r]) for name, r in of if name == way and (over, r) in of]
        return median(by(a, b) for a, b in pairs) if pairs else None

    def ratio(self, way: str, over: str, figure: str) -> float | None:
        return self.paired(way, over, figure, lambda a, b: a / b)

    def added_ms(self, what: str, way: str, over: str) -> float | None:
        found = [a.added_ms for a in self.added if (a.what, a.way, a.over) == (what, way, over)]
        return median(found) if found else None

    def targets(self) -> list[Target]:
        """What docs/performance.md promises of the edge."""
        found: list[Target] = []
        rate = self.ratio(EDGE, BARE, "rate")
        if rate is not None:
            found.append(Target("requests per second, 64 in flight, to a bare Envoy's", rate, 0.85, True))
        cpu = self.paired(EDGE, BARE, "cpu_us", lambda a, b: a - b)
        if cpu is not None:
            found.append(Target("CPU per request over a bare Envoy's", cpu, 12.0, False, " us"))
        for (what, way, over), bound in BOUNDS.items():
            value = self.added_ms(what, way, over)
            if value is not None:
                found.append(Target(f"{what}, one at a time: {way} over {over}", value, bound, False, " ms"))
        return found

    def as_json(self) -> dict[str, Any]:
        ways = ordered(sample.way for sample in self.loaded)
        return {
            "machine": self.machine,
            "options": self.options,
            "medians": {way: {f: self.median(way, f) for f in ("rate", "median_us", "cpu_us")} for way in ways},
            "targets": [{**asdict(target), "met": target.met} for target in self.targets()],
            "loaded": [asdict(sample) for sample in self.loaded],
            "added": [asdict(sample) for sample in self.added],
        }
