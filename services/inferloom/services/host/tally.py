"""What a host has answered, as Triton's statistics count it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric

from inferloom.mesh.catalog import version_key
from inferloom.mesh.oip import pb

__all__ = ["Tally"]


class _Row:
    __slots__ = ("failed", "failed_ns", "last_ms", "succeeded", "succeeded_ns")

    def __init__(self) -> None:
        self.succeeded = self.succeeded_ns = self.failed = self.failed_ns = self.last_ms = 0


class Tally:
    """Counts and times by name and version, for as long as the process lives: also of code that was replaced."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}

    def add(self, name: str, version: str, seconds: float, wall: float, *, failed: bool) -> None:
        """One call ended.

        Args:
            seconds: it took.
            wall: when it ended, seconds since 1970.
        """
        row = self._rows.get((name, version))
        if row is None:
            row = self._rows[name, version] = _Row()
        spent = int(seconds * 1e9)
        row.last_ms = int(wall * 1000)
        if failed:
            row.failed += 1
            row.failed_ns += spent
        else:
            row.succeeded += 1
            row.succeeded_ns += spent

    def statistics(self, named: Iterable[tuple[str, str]]) -> Any:
        """A ModelStatisticsResponse with a row for each of these (name, version)."""
        answer = pb.ModelStatisticsResponse()
        for key in sorted(named, key=lambda each: (each[0], version_key(each[1]))):
            row = self._rows.get(key) or _Row()
            stats = answer.model_stats.add(
                name=key[0],
                version=key[1],
                last_inference=row.last_ms,
                inference_count=row.succeeded,
                execution_count=row.succeeded,
            ).inference_stats
            for duration in (stats.success, stats.compute_infer):
                duration.count, duration.ns = row.succeeded, row.succeeded_ns
            stats.fail.count, stats.fail.ns = row.failed, row.failed_ns
        return answer

    def collect(self) -> Iterable[Metric]:
        """The same for Prometheus."""
        labels = ["service", "version", "outcome"]
        calls = CounterMetricFamily("inferloom_host_calls", "Calls answered by this host.", labels=labels)
        seconds = CounterMetricFamily("inferloom_host_seconds", "Time they took.", labels=labels)
        for key, row in tuple(self._rows.items()):
            calls.add_metric([*key, "ok"], row.succeeded)
            calls.add_metric([*key, "error"], row.failed)
            seconds.add_metric([*key, "ok"], row.succeeded_ns / 1e9)
            seconds.add_metric([*key, "error"], row.failed_ns / 1e9)
        yield calls
        yield seconds
