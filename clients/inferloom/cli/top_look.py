"""One look at a mesh, and the rates that two of them make."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from inferloom.v1 import explain_pb2, mesh_pb2

__all__ = ["Look", "Rates", "since"]

K = TypeVar("K", bound=Hashable)
Edge = tuple[str, str, str]  # pipeline, source, target


class Rates(NamedTuple):
    """Per second; "-" is shown for what is in none of them."""

    models: dict[str, float]
    replicas: dict[tuple[str, str], float]
    pipelines: dict[str, float]
    edges: dict[Edge, float]


@dataclass
class Look:
    """What a mesh told.

    Attributes:
        told: what did not answer, and why.
        rates: since an earlier look; None: there was none.
    """

    address: str
    models: mesh_pb2.ListModelsResponse
    figures: explain_pb2.FiguresResponse = field(default_factory=explain_pb2.FiguresResponse)
    recent: explain_pb2.ListRecentResponse = field(default_factory=explain_pb2.ListRecentResponse)
    splits: list[mesh_pb2.SplitFiguresResponse] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    rates: Rates | None = None

    def gone(self, why: str) -> Look:
        """The same, once nobody answers any more."""
        return replace(self, told=[why])

    def counts(self) -> Rates:
        """Since the processes began, each."""
        loads = {(m.name, r.id): float(r.load.requests) for m in self.models.models for r in m.replicas}
        pipelines: dict[str, float] = {}
        edges: dict[Edge, float] = {}
        for each in self.figures.pipelines:  # of several hosts
            pipelines[each.name] = pipelines.get(each.name, 0.0) + each.requests
            for edge in each.edges:
                key = (each.name, edge.source, edge.target)
                edges[key] = edges.get(key, 0.0) + edge.requests
        return Rates({each.name: float(each.requests) for each in self.figures.models}, loads, pipelines, edges)


def since(before: Look, now: Look) -> Look:
    """The later look, with rates. A count that went back is of a process that began anew: it has no rate yet."""
    seconds = now.figures.seconds - before.figures.seconds
    if seconds <= 0:
        return now
    earlier, later = before.counts(), now.counts()
    return replace(
        now,
        rates=Rates(
            _rates(earlier.models, later.models, seconds),
            _rates(earlier.replicas, later.replicas, seconds),
            _rates(earlier.pipelines, later.pipelines, seconds),
            _rates(earlier.edges, later.edges, seconds),
        ),
    )


def _rates(before: Mapping[K, float], now: Mapping[K, float], seconds: float) -> dict[K, float]:
    return {key: (now[key] - before[key]) / seconds for key in now.keys() & before.keys() if now[key] >= before[key]}
