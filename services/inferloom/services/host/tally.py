"""What a host has answered, as Triton's statistics count it, and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from grpc import StatusCode
from prometheus_client.core import Metric

from inferloom.mesh.catalog import version_key
from inferloom.mesh.oip import pb
from inferloom.mesh.telemetry.metrics_series import Codes, histogram

__all__ = ["Tally"]


class _Row:
    __slots__ = ("calls", "failed", "failed_ns", "last_ms", "succeeded", "succeeded_ns")

    def __init__(self) -> None:
        self.calls = Codes()
        self.succeeded = self.succeeded_ns = self.failed = self.failed_ns = self.last_ms = 0


class Tally:
    """Counts and times by name and version, for as long as the process lives: also of code that was replaced."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], _Row] = {}

    def add(self, name: str, version: str, seconds: float, wall: float, code: StatusCode | None) -> None:
        """One call ended.

        Args:
            seconds: it took.
            wall: when it ended, seconds since 1970.
            code: how; None: its caller went away.
        """
        row = self._rows.get((name, version))
        if row is None:
            row = self._rows[name, version] = _Row()
        row.calls.add(code, seconds)
        spent = int(seconds * 1e9)
        row.last_ms = int(wall * 1000)
        if code is StatusCode.OK:
            row.succeeded += 1
            row.succeeded_ns += spent
        else:
            row.failed += 1
            row.failed_ns += spent

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

    def collect(self, served: frozenset[str]) -> Iterable[Metric]:
        """The same for Prometheus.

        Args:
            served: names that it answers to now; others are left out.
        """
        yield histogram(
            "inferloom_host_call_duration_seconds",
            "Calls of services and pipelines in this host, as it saw them; CANCELLED: the caller went away.",
            ("model", "version", "code"),
            (
                ((*key, code), durations)
                for key, row in tuple(self._rows.items())
                if key[0] in served
                for code, durations in row.calls.rows()
            ),
        )
