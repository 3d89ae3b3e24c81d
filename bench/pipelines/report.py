"""From samples to figures: medians over rounds, what each pipeline adds to its stages, and the targets. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.pipelines.subjects import KINDS, LOADS, SERVICE
from bench.report import Target
from bench.repository import names

__all__ = ["FIGURES", "PipelineReport", "PipelineSample", "ideal_rate", "least_ms"]

FIGURES = ("rate", "median_ms", "p99_ms", "host_cpu_us")
TWIN = "stage-0-1"  # the model that does what the service does
ADDED_MS, SERVICE_MS, IDEAL = 1.5, 0.5, 0.9


@dataclass(frozen=True, slots=True)
class PipelineSample:
    """One run of h2load."""

    name: str
    way: str
    in_flight: str
    round: int
    requests: int
    rate: float  # answers per second
    median_ms: float
    p99_ms: float
    host_cpu_us: float  # CPU time of the host per request; 0 where it was not asked


def ideal_rate(name: str, in_flight: int) -> float | None:
    """Requests per second if nothing but the work of the stages took time; None where there is no work.

    A stage takes all that has come within one execution: with n in flight, n answers each time the longest way is done.
    """
    graph, _, kind = name.partition("-")
    work = float(kind) if kind in KINDS and kind != "single" else 0.0
    return in_flight / (work * (3 if graph == "three" else 1) / 1e3) if work else None


def least_ms(name: str, stage_ms: Callable[[str], float | None]) -> float | None:
    """The sum of the stages' own times one after another; of an ensemble the longest."""
    graph, _, kind = name.partition("-")
    times = [stage_ms(stage) for stage in names(kind)[: 3 if graph == "three" else 4]]
    known = [time for time in times if time is not None]
    return None if len(known) < len(times) else sum(known) if graph == "three" else max(known)


@dataclass(frozen=True, slots=True)
class PipelineReport:
    samples: Sequence[PipelineSample]
    machine: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str, way: str, in_flight: str, figure: str) -> float | None:
        return self._over(s for s in self.samples if (s.name, s.way, s.in_flight) == (name, way, in_flight))(figure)

    def added_ms(self, name: str, way: str) -> float | None:
        """What a lone request costs above its stages' own times, in ms; within each round, then the median."""
        found = []
        for number in sorted({sample.round for sample in self.samples}):
            own, least = self._alone(number, name, way), self._least(number, name)
            if own is not None and least is not None:
                found.append(own - least)
        return median(found) if found else None

    def of_direct(self, name: str, way: str, in_flight: str) -> float | None:
        """Requests per second to those of direct calls of the stages, one after another, with as many in flight.

        A stage under load answers a request in `in_flight / rate`; three of them in three times that, an ensemble, which
        asks all at once, in that. Triton batches as well, so this is what batching leaves of the ideal. Median over rounds.
        """
        graph, _, kind = name.partition("-")
        stage, turns = names(kind)[0], 3 if graph == "three" else 1
        of = {(s.name, s.way, s.round): s.rate for s in self.samples if s.in_flight == in_flight}
        found = [
            rate * turns / direct
            for (each, through, number), rate in of.items()
            if (each, through) == (name, way) and (direct := of.get((stage, "direct", number)))
        ]
        return median(found) if found else None

    def of_ideal(self, name: str, way: str, in_flight: int) -> float | None:
        rate, ideal = self.median(name, way, str(in_flight), "rate"), ideal_rate(name, in_flight)
        return rate / ideal if rate is not None and ideal else None

    def targets(self) -> list[Target]:
        """What docs/performance.md promises, by the host's own port."""
        found: list[Target] = []
        for name, what in (
            ("three-0", "three stages, alone, above the sum of its stages"),
            ("four-0", "ensemble of four, alone, above its slowest"),
        ):
            if (added := self.added_ms(name, "host")) is not None:
                found.append(Target(what, added, ADDED_MS, False, " ms"))
        if (added := self.added_ms(SERVICE, "host")) is not None:
            found.append(Target("a service's call above a call of Triton", added, SERVICE_MS, False, " ms"))
        for name in ("three-5", "four-5"):
            found.extend(
                Target(f"{name}, {load.name} in flight, of direct calls one after another", share, IDEAL, True)
                for load in LOADS
                if (share := self.of_direct(name, "host", load.name)) is not None
            )
            found.extend(
                Target(f"{name}, {load.name} in flight, of the work alone", share, IDEAL, True)
                for load in LOADS
                if (share := self.of_ideal(name, "host", load.in_flight)) is not None
            )
        return found

    def as_json(self) -> dict[str, Any]:
        keys = list(dict.fromkeys((s.name, s.way, s.in_flight) for s in self.samples))
        return {
            "machine": self.machine,
            "options": self.options,
            "medians": {" ".join(key): {f: self.median(*key, f) for f in FIGURES} for key in keys},
            "targets": [{**asdict(target), "met": target.met} for target in self.targets()],
            "samples": [asdict(sample) for sample in self.samples],
        }

    def _least(self, number: int, name: str) -> float | None:
        def stage_ms(stage: str) -> float | None:
            return self._alone(number, stage, "direct")

        return stage_ms(TWIN) if name == SERVICE else least_ms(name, stage_ms)

    def _alone(self, number: int, name: str, way: str) -> float | None:
        """The median of a lone request in that round."""
        found = [s.median_ms for s in self.samples if (s.round, s.name, s.way, s.in_flight) == (number, name, way, "1")]
        return found[0] if found else None

    @staticmethod
    def _over(samples: Iterable[PipelineSample]) -> Callable[[str], float | None]:
        found = list(samples)
        return lambda figure: median(getattr(sample, figure) for sample in found) if found else None
