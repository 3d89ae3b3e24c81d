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
        figures: of the router.
        edges: of control planes: what edges send to replicas themselves.
        told: what did not answer, and why.
        rates: since an earlier look; None: there was none.
    """

    address: str
    models: mesh_pb2.ListModelsResponse
    figures: explain_pb2.FiguresResponse = field(default_factory=explain_pb2.FiguresResponse)
    edges: list[explain_pb2.FiguresResponse] = field(default_factory=list)
    recent: explain_pb2.ListRecentResponse = field(default_factory=explain_pb2.ListRecentResponse)
    splits: list[mesh_pb2.SplitFiguresResponse] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    rates: Rates | None = None

    def gone(self, why: str) -> Look:
        """The same, once nobody answers any more."""
        return replace(self, told=[why])

    def of_models(self) -> dict[str, explain_pb2.ModelFigures]:
        """Of the router and of edges together; quantiles are the edges' where they have any."""
        found: dict[str, explain_pb2.ModelFigures] = {}
        for each in (model for answer in (self.figures, *self.edges) for model in answer.models):
            known = found.get(each.name)
            if known is None:
                found[each.name] = known = explain_pb2.ModelFigures()
                known.CopyFrom(each)
                continue
            if each.p50_ms:
                known.p50_ms, known.p99_ms = each.p50_ms, each.p99_ms
            known.requests += each.requests
            known.failed += each.failed
            known.in_flight += each.in_flight
        return found

    def of_edges(self) -> dict[tuple[str, str], explain_pb2.ReplicaFigures]:
        """What they do with each replica: by model and its id."""
        found: dict[tuple[str, str], explain_pb2.ReplicaFigures] = {}
        for name, each in ((m.name, each) for answer in self.edges for m in answer.models for each in m.replicas):
            known = found.setdefault((name, each.replica), explain_pb2.ReplicaFigures(replica=each.replica))
            known.in_flight += each.in_flight
            known.failed += each.failed
            known.per_second += each.per_second
            known.passed_over |= each.passed_over
        return found

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
    models = _rates(earlier.models, later.models, seconds)
    for each in (model for answer in now.edges for model in answer.models):
        models[each.name] = models.get(each.name, 0.0) + each.per_second
    replicas = _rates(earlier.replicas, later.replicas, seconds)
    for key, figures in now.of_edges().items():
        replicas[key] = replicas.get(key, 0.0) + figures.per_second
    return replace(
        now,
        rates=Rates(
            models,
            replicas,
            _rates(earlier.pipelines, later.pipelines, seconds),
            _rates(earlier.edges, later.edges, seconds),
        ),
    )


def _rates(before: Mapping[K, float], now: Mapping[K, float], seconds: float) -> dict[K, float]:
    return {key: (now[key] - before[key]) / seconds for key in now.keys() & before.keys() if now[key] >= before[key]}
