"""How long calls wait for their turn in a host, and how long the user's code then takes."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from inferloom.mesh.telemetry.metrics_series import Durations, histogram

__all__ = ["WorkTimes"]


class WorkTimes:
    """By name in the catalog. Streams are not among them: their code runs for as long as somebody reads."""

    def __init__(self) -> None:
        self._queue: dict[str, Durations] = {}
        self._run: dict[str, Durations] = {}

    def ran(self, name: str, came: float, began: float, ended: float) -> None:
        """A call has run; all times on one clock."""
        if name not in self._queue:
            self._queue[name], self._run[name] = Durations(), Durations()
        self._queue[name].add(max(0.0, began - came))
        self._run[name].add(ended - began)

    def collect(self, served: frozenset[str]) -> Iterable[Metric]:
        """Of the names that are served now."""
        for name, text, times in (
            (
                "queue",
                "Time until a call's turn came: of the event loop, or of a thread for plain functions.",
                self._queue,
            ),
            ("run", "Time that the user's code took, calls of other models included.", self._run),
        ):
            rows = [((each,), durations) for each, durations in times.items() if each in served]
            yield histogram(f"inferloom_host_{name}_seconds", text, ("model",), rows)
