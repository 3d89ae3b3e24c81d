"""What telling of requests costs: ratios within a block of neighbouring runs, and the targets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.report import Target, ordered
from bench.telemetry.serve import EDGE, EDGE_TRACED, ROUTER, TRACED, TWIN, UNCOUNTED

__all__ = ["COMPARED", "Run", "TelemetryReport"]

COMPARED = {  # what: (with it, without it, most that it may take of the throughput)
    "two routers that are the same": (TWIN, ROUTER, None),
    "traces of 1 %, router": (TRACED, ROUTER, 0.05),
    "metrics, router": (ROUTER, UNCOUNTED, 0.03),
    "traces of 1 %, edge": (EDGE_TRACED, EDGE, 0.05),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of h2load, 64 in flight."""

    what: str  # of COMPARED
    way: str
    block: int  # of four neighbouring runs, two of each way
    requests: int
    rate: float  # per second
    median_us: float
    cpu_us: float  # of the way's own process, per request


@dataclass(frozen=True, slots=True)
class TelemetryReport:
    runs: Sequence[Run]
    machine: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)

    def median(self, way: str, figure: str) -> float | None:
        values = [getattr(run, figure) for run in self.runs if run.way == way]
        return median(values) if values else None

    def taken(self, what: str, figure: str) -> float | None:
        """The share by which `figure` differs with it, in the direction of cost; the median over blocks."""
        way, base, _ = COMPARED[what]
        sums: dict[int, dict[str, float]] = {}
        for run in self.runs:
            if run.what == what:
                block = sums.setdefault(run.block, {way: 0.0, base: 0.0})
                block[run.way] += getattr(run, figure)
        ratios = [block[way] / block[base] for block in sums.values()]
        if not ratios:
            return None
        return 1 - median(ratios) if figure == "rate" else median(ratios) - 1

    def targets(self) -> list[Target]:
        """What docs/performance.md promises."""
        found: list[Target] = []
        for what, (_, _, bound) in COMPARED.items():
            taken = self.taken(what, "rate")
            if bound is not None and taken is not None:
                found.append(Target(f"{what}: of the requests per second", 100 * taken, 100 * bound, False, " %"))
        return found

    def as_json(self) -> dict[str, Any]:
        names = ordered(run.way for run in self.runs)
        figures = ("rate", "median_us", "cpu_us")
        return {
            "machine": self.machine,
            "options": self.options,
            "medians": {way: {figure: self.median(way, figure) for figure in figures} for way in names},
            "taken": {what: {figure: self.taken(what, figure) for figure in ("rate", "cpu_us")} for what in COMPARED},
            "targets": [{**asdict(target), "met": target.met} for target in self.targets()],
            "runs": [asdict(run) for run in self.runs],
        }
