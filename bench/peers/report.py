"""inferloom beside Ray Serve: medians, ratios within a turn, and the targets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.report import Target, ordered

__all__ = ["ONE_MODEL", "OURS", "OURS_SINGLE", "PeerReport", "PeerSample"]

OURS, OURS_SINGLE = "inferloom", "inferloom, no batching"
BUSY, ALONE = "64", "1"
ONE_MODEL = "one"  # one model by gRPC: through the edge to a Triton, and in the ingress deployment itself
GATEWAY = 4.0  # times the peer's requests per second


@dataclass(frozen=True, slots=True)
class PeerSample:
    """One run of h2load. What ran in one `turn` ran within a minute."""

    who: str
    graph: str
    in_flight: str
    turn: str
    requests: int
    rate: float
    median_ms: float


@dataclass(frozen=True, slots=True)
class PeerReport:
    samples: Sequence[PeerSample]
    machine: dict[str, str]
    unbatched: frozenset[str] = frozenset()  # who does not batch
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return ordered(sample.who for sample in self.samples)

    @property
    def peers(self) -> list[str]:
        return [name for name in self.names if name not in (OURS, OURS_SINGLE)]

    def median(self, who: str, graph: str, in_flight: str, figure: str) -> float | None:
        found = [getattr(s, figure) for s in self.samples if (s.who, s.graph, s.in_flight) == (who, graph, in_flight)]
        return median(found) if found else None

    def ratio(self, ours: str, peer: str, graph: str, in_flight: str, figure: str) -> float | None:
        """The median of ours / peer within each turn."""
        of = {(s.who, s.turn): getattr(s, figure) for s in self.samples if (s.graph, s.in_flight) == (graph, in_flight)}
        pairs = [(of[ours, turn], value) for (who, turn), value in of.items() if who == peer and (ours, turn) in of]
        return median(a / b for a, b in pairs) if pairs else None

    def best(self, graph: str, in_flight: str, figure: str, among: Sequence[str]) -> str | None:
        """The peer's setting with the highest rate, or the lowest median."""
        known = [(value, who) for who in among if (value := self.median(who, graph, in_flight, figure)) is not None]
        if not known:
            return None
        return (max if figure == "rate" else min)(known)[1]

    def targets(self) -> list[Target]:
        found: list[Target] = []
        plain = [name for name in self.peers if name in self.unbatched]
        for graph in ordered(sample.graph for sample in self.samples):
            if graph == ONE_MODEL:
                peer = self.best(graph, BUSY, "rate", self.peers)
                value = None if peer is None else self.ratio(OURS, peer, graph, BUSY, "rate")
                if value is not None:
                    what = f"one model through the edge: requests per second, 64 in flight, to {peer}"
                    found.append(Target(what, value, GATEWAY, True))
                continue
            for ours, among, load, figure, bound, what in (
                (OURS, self.peers, BUSY, "rate", 1.3, "requests per second, 64 in flight, to"),
                (OURS, self.peers, ALONE, "median_ms", 0.5, "a lone request's time, to"),
                (OURS_SINGLE, plain, BUSY, "rate", 3.0, "requests per second without batching, 64 in flight, to"),
            ):
                peer = self.best(graph, load, figure, among)
                value = None if peer is None else self.ratio(ours, peer, graph, load, figure)
                if value is not None:
                    found.append(Target(f"{graph}: {what} {peer}", value, bound, figure == "rate"))
        return found

    def as_json(self) -> dict[str, Any]:
        keys = list(dict.fromkeys((s.who, s.graph, s.in_flight) for s in self.samples))
        return {
            "machine": self.machine,
            "options": self.options,
            "medians": {" | ".join(key): {f: self.median(*key, f) for f in ("rate", "median_ms")} for key in keys},
            "targets": [{**asdict(target), "met": target.met} for target in self.targets()],
            "samples": [asdict(sample) for sample in self.samples],
        }
