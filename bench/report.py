"""From samples to figures: medians, ratios, and what they are held against. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

BUSY, ALONE = "64 in flight", "one at a time"
YARDSTICK = "honest"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of h2load through one path."""

    path: str
    load: str
    round: int
    requests: int
    rate: float  # requests per second
    median_us: float
    p99_us: float
    hop_cpu_us: float  # CPU time of the path's own process per request; 0 where there is none
    triton_cpu_us: float


FIGURES = ("rate", "median_us", "p99_us", "hop_cpu_us", "triton_cpu_us")


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a path's process."""

    started: int
    loaded: int


@dataclass(frozen=True, slots=True)
class Target:
    """A bound the router is held to."""

    what: str
    value: float
    bound: float
    at_least: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Report:
    samples: Sequence[Sample]
    memory: dict[str, Memory]
    machine: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)

    def median(self, path: str, load: str, figure: str) -> float | None:
        """The median of a figure over all rounds; None where it was not measured."""
        values = [getattr(s, figure) for s in self.samples if (s.path, s.load) == (path, load)]
        return median(values) if values else None

    def paired(self, path: str, other: str, load: str, figure: str) -> list[tuple[float, float]]:
        """(path, other) of each round that has both."""
        of = {(s.path, s.round): getattr(s, figure) for s in self.samples if s.load == load}
        rounds = sorted({s.round for s in self.samples})
        return [(of[path, r], of[other, r]) for r in rounds if (path, r) in of and (other, r) in of]

    def ratio(self, path: str, other: str, load: str, figure: str) -> float | None:
        """The median over rounds of path / other: the machine's swings from round to round cancel out."""
        pairs = [(a, b) for a, b in self.paired(path, other, load, figure) if b]
        return median(a / b for a, b in pairs) if pairs else None

    def added_ms(self, path: str, other: str) -> float | None:
        """What the path adds to the other's median one at a time, in milliseconds; median over rounds."""
        pairs = self.paired(path, other, ALONE, "median_us")
        return median((a - b) / 1000 for a, b in pairs) if pairs else None

    def targets(self, path: str = "router") -> list[Target]:
        """What docs/performance.md promises of the router."""
        rate = self.ratio(path, YARDSTICK, BUSY, "rate")
        cpu = self.ratio(path, YARDSTICK, BUSY, "hop_cpu_us")
        added = self.added_ms(path, YARDSTICK)
        found: list[Target] = []
        if rate is not None:
            found.append(Target("requests per second, 64 in flight, to the honest proxy's", rate, 0.85, True))
        if cpu:
            found.append(Target("requests per CPU second, 64 in flight, to the honest proxy's", 1 / cpu, 0.85, True))
        if added is not None:
            found.append(Target("added to the honest proxy's median, one at a time", added, 0.15, False, " ms"))
        if path in self.memory:
            found.append(Target("resident after start", self.memory[path].started / 1e6, 120.0, False, " MB"))
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything, raw samples first to last."""
        paths = ordered(s.path for s in self.samples)
        loads = ordered(s.load for s in self.samples)
        yardsticks = [p for p in ("honest", "barest", "direct") if p in paths]
        return {
            "machine": self.machine,
            "options": self.options,
            "medians": {p: {at: {f: self.median(p, at, f) for f in FIGURES} for at in loads} for p in paths},
            "ratios": {
                p: {
                    other: {
                        "rate": self.ratio(p, other, BUSY, "rate"),
                        "hop_cpu": self.ratio(p, other, BUSY, "hop_cpu_us"),
                        "added_ms": self.added_ms(p, other),
                    }
                    for other in yardsticks
                    if other != p
                }
                for p in paths
            },
            "memory": {name: asdict(memory) for name, memory in self.memory.items()},
            "targets": [{**asdict(target), "met": target.met} for target in self.targets()],
            "samples": [asdict(sample) for sample in self.samples],
        }


def ordered(names: Iterable[str]) -> list[str]:
    """Each once, in the order of first appearance."""
    return list(dict.fromkeys(names))
