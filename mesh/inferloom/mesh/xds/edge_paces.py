"""How fast models answer as edges see them: for `inferloom top`, and for what is slow.

Of each reading the part since the one before is added to the paces, which are kept as a router keeps them. Counts come every
few seconds, and by turns of more or fewer: a rate is of two readings together.

An edge logs what takes longer than one bound for all models: the least of what is slow for each, but at least what no more
than MOST_A_SECOND answers have taken longer than. So a mesh of slow and fast models under load does not log each answer of
the slow ones; the fast ones' are then missing from those that are kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.explain.explainer import MOST_A_SECOND, Explainer
from inferloom.mesh.explain.pace import INFINITY, WINDOW, Pace
from inferloom.mesh.xds.edge_metrics import servers
from inferloom.mesh.xds.edge_reader import UPTIME, EdgeFigures
from inferloom.mesh.xds.request_figures import Requests, requests_of
from inferloom.mesh.xds.types import NEVER, SLOW

__all__ = ["EdgePaces", "ReplicaLoad"]

READINGS = 3  # that are kept: a rate is of what came between the first and the last
Steps = Mapping[float, int]  # milliseconds: how many answers took so long


class ReplicaLoad:
    """What edges do with a replica now, and how many attempts they have made and failed at it so far."""

    def __init__(self) -> None:
        self.in_flight = self.attempts = self.failed = 0
        self.passed_over = False


class _Moment(NamedTuple):
    """What had been counted: requests of models, attempts at replicas."""

    at: float
    requests: Mapping[str, int]
    attempts: Mapping[tuple[str, str], int]


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
        self._began = explainer.now()
        self._known: dict[str, dict[str, Steps]] = {}  # edge: histogram
        self._all = Pace(self._began)
        self._moments: deque[_Moment] = deque([_Moment(self._began, {}, {})], maxlen=READINGS)

    def read(self, node: str, stats: Sequence[Mapping[str, Any]]) -> None:
        """What an edge had counted before this process knew it says nothing of now, and is left out."""
        known = self._known.get(node)
        old = known is None and _uptime(stats) > self._explainer.now() - self._began
        now: dict[str, Steps] = {}
        for histogram in (each for entry in stats for each in entry.get("histograms", {}).get("details", ())):
            key = requests_of(histogram["name"])
            if key is None or key.kind or key.model not in self._catalog().models:
                continue
            steps = now[histogram["name"]] = {
                step["lower_bound"] + step["width"] / 2: int(step["count"]) for step in histogram["totals"]
            }
            earlier = (known or {}).get(histogram["name"], {})
            if sum(steps.values()) < sum(earlier.values()):
                earlier = {}  # this Envoy is a new one
            if not old:
                self._add(key, {at: count - earlier.get(at, 0) for at, count in steps.items()})
        self._known[node] = now

    def settle(self, edges: Mapping[str, EdgeFigures]) -> None:
        """Of edges that are gone nothing is kept but what they have counted."""
        self._known = {node: known for node, known in self._known.items() if node in edges}
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
        return (last.requests.get(model, 0) - first.requests.get(model, 0)) / passed

    def attempts_a_second(self, model: str, replica: str) -> float:
        """Of the last readings; 0 where it, or an edge, was not there before."""
        first, last, passed = self._between()
        key = (model, replica)
        return max(0, last.attempts.get(key, 0) - first.attempts.get(key, last.attempts.get(key, 0))) / passed

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


def _uptime(stats: Iterable[Mapping[str, Any]]) -> float:
    return next((float(each["value"]) for each in stats if each.get("name") == UPTIME), INFINITY)


def _replicas(edges: Mapping[str, EdgeFigures], catalog: Catalog) -> dict[tuple[str, str], ReplicaLoad]:
    found: dict[tuple[str, str], ReplicaLoad] = {}
    for (_, model, replica), server in servers(edges, catalog):
        load = found.setdefault((model, replica), ReplicaLoad())
        stats = {each["name"]: int(each.get("value", 0)) for each in server["stats"]}  # Envoy leaves out a value of 0
        load.in_flight += stats["rq_active"]
        load.attempts += stats["rq_total"]
        load.failed += stats["rq_error"]
        load.passed_over |= server.get("health_status", {}).get("failed_outlier_check", False)
    return found
