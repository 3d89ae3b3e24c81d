"""How fast models answer as edges see them: for `inferloom top`, and for what is slow.

Of each reading the part since the one before is added to the paces, which are kept as a router keeps them. Counts come every
few seconds, and by turns of more or fewer: a rate is of two readings together.

An edge logs what takes longer than one bound for all models: the least of what is slow for each, but at least what no more
than MOST_A_SECOND answers have taken longer than. So a mesh of slow and fast models under load does not log each answer of
the slow ones; the fast ones' are then missing from those that are kept.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.explain.explainer import MOST_A_SECOND, Explainer
from inferloom.mesh.explain.pace import INFINITY, WINDOW, Pace
from inferloom.mesh.xds.edge_figures import EdgeFigures
from inferloom.mesh.xds.edge_lifetime import Counted
from inferloom.mesh.xds.edge_metrics import servers
from inferloom.mesh.xds.request_figures import Requests, histograms, upper
from inferloom.mesh.xds.types import NEVER, SLOW

__all__ = ["EdgePaces", "ReplicaLoad"]

READINGS = 3  # that are kept: a rate is of what came between the first and the last
Steps = Mapping[float, int]  # milliseconds: how many answers took less, and more than the step before


class ReplicaLoad:
    """What edges do with a replica now, and how many attempts have failed at it so far; those that were made, by edge."""

    def __init__(self) -> None:
        self.in_flight = self.failed = 0
        self.attempts: Counter[str] = Counter()
        self.passed_over = False


class _Moment(NamedTuple):
    """What had been counted: requests of models, attempts at replicas by each edge."""

    at: float
    requests: Mapping[str, int]
    attempts: Mapping[tuple[str, str], Mapping[str, int]]


class EdgePaces:
    """Of all edges that are connected; a Watcher of what is read of them.

    Args:
        explainer: whose paces they are.
        catalog: now; of other models nothing is kept.

    Attributes:
        replicas: by model and id.
    """

    def __init__(self, explainer: Explainer, catalog: Callable[[], Catalog]) -> None:
        self.replicas: dict[tuple[str, str], ReplicaLoad] = {}
        self._explainer = explainer
        self._catalog = catalog
        self._known: dict[str, dict[str, Steps]] = {}  # edge: histogram
        began = explainer.now()
        self._all = Pace(began)
        self._moments: deque[_Moment] = deque([_Moment(began, {}, {})], maxlen=READINGS)

    def read(self, node: str, stats: Sequence[Mapping[str, Any]], counted: Counted) -> None:
        """What an edge had counted before this process knew it says nothing of now, and is left out."""
        models = self._catalog().models
        known = {} if counted is Counted.ANEW else self._known.get(node)
        now: dict[str, Steps] = {}
        for key, histogram in histograms(stats):
            if key.kind:
                continue
            steps = now[histogram["name"]] = _steps(histogram["totals"])
            if counted is Counted.BEFORE or known is None or key.model not in models:
                continue
            earlier = known.get(histogram["name"], {})
            self._add(key, {at: max(0, count - earlier.get(at, 0)) for at, count in steps.items()})
        self._known[node] = now
        self._explainer.edges = frozenset(self._known)

    def settle(self, edges: Mapping[str, EdgeFigures]) -> None:
        """Of edges that are gone nothing is kept but what they have counted."""
        self._known = {node: known for node, known in self._known.items() if node in edges}
        self._explainer.edges = frozenset(self._known)
        paces, now = self._explainer.paces, self._explainer.now()
        for pace in (self._all, *paces.values()):
            pace.refresh(now)
        self.replicas = _replicas(edges, self._catalog())
        requests = {name: pace.count for name, pace in paces.items()}
        attempts = {key: load.attempts for key, load in self.replicas.items()}
        self._moments.append(_Moment(now, requests, attempts))

    def runtime(self, slow_after: Mapping[str, float]) -> Mapping[str, str]:
        """What an edge logs as slow.

        Args:
            slow_after: seconds after which an answer misses its model's objective, by model.
        """
        limits: Iterable[float] = (*slow_after.values(), *(pace.limit for pace in self._explainer.paces.values()))
        seconds = max(min(limits, default=INFINITY), self._all.exceeded_by(int(MOST_A_SECOND * WINDOW)))
        return {SLOW: str(NEVER if seconds == INFINITY else math.ceil(round(1000 * seconds, 3)))}

    def requests_a_second(self, model: str) -> float:
        """Of the last readings."""
        first, last, passed = self._between()
        return max(0, last.requests.get(model, 0) - first.requests.get(model, 0)) / passed

    def attempts_a_second(self, model: str, replica: str) -> float:
        """Of the last readings; what an edge had counted when it was not there before is left out."""
        first, last, passed = self._between()
        before = first.attempts.get((model, replica), {})
        made = ((edge, count) for edge, count in last.attempts.get((model, replica), {}).items() if edge in before)
        return sum(max(0, count - before[edge]) for edge, count in made) / passed

    def _between(self) -> tuple[_Moment, _Moment, float]:
        first, last = self._moments[0], self._moments[-1]
        return first, last, last.at - first.at or INFINITY

    def _add(self, key: Requests, steps: Steps) -> None:
        pace = self._explainer.pace(key.model)
        for milliseconds, count in steps.items():
            if key.code == "OK":
                pace.add_counted(milliseconds / 1000, count)
                self._all.add_counted(milliseconds / 1000, count)
            else:
                pace.count += count
                pace.failed += count


def _steps(totals: Iterable[Mapping[str, Any]]) -> Steps:
    return {upper(step): int(step["count"]) for step in totals}


def _replicas(edges: Mapping[str, EdgeFigures], catalog: Catalog) -> dict[tuple[str, str], ReplicaLoad]:
    found: dict[tuple[str, str], ReplicaLoad] = {}
    for (edge, model, replica), load in servers(edges, catalog):
        replicas = found.setdefault((model, replica), ReplicaLoad())
        replicas.in_flight += load.in_flight
        replicas.attempts[edge] += load.attempts
        replicas.failed += load.failed
        replicas.passed_over |= load.passed_over
    return found
