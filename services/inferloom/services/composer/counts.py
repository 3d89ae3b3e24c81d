"""What pipelines count: how long their nodes take, and how large their batches are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from inferloom.mesh.telemetry.metrics_series import Codes, Durations, counter, gauge, histogram

if TYPE_CHECKING:
    from inferloom.services.composer.plan import Plan

__all__ = ["ROWS", "BatchCounts", "NodeCounts", "pipeline_metrics"]

ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
NODE = ("pipeline", "node")
UNIT = ("pipeline", "unit")


class NodeCounts(Codes):
    """Of a node, a member or an arm: a run is one call of what it names, for one request or for a batch."""

    __slots__ = ("stood_in",)

    def __init__(self) -> None:
        super().__init__()
        self.stood_in = 0  # failures that `on_error` took care of


class BatchCounts:
    """Of what is batched together."""

    __slots__ = ("queue", "requests", "rows")

    def __init__(self) -> None:
        self.rows = Durations(ROWS)  # of each batch
        self.queue = Durations()  # seconds that each request waited
        self.requests = 0


def pipeline_metrics(plans: Iterable[Plan]) -> Iterable[Metric]:
    """Of the pipelines that are served now; one whose document has changed begins anew."""
    plans = tuple(plans)
    nodes = [((plan.name, action.note), action.counts) for plan in plans for action in plan.actions]
    units = [((plan.name, unit.node.name), unit.node.batcher) for plan in plans for unit in plan.units]
    yield histogram(
        "inferloom_pipeline_node_duration_seconds",
        "Runs of a pipeline's node, member or arm, what its on_error did included; a batch is one run.",
        (*NODE, "code"),
        (((*key, code), durations) for key, counts in nodes for code, durations in counts.rows()),
    )
    yield counter(
        "inferloom_pipeline_node_stood_in",
        "Runs whose failure was made good by on_error: a value, another model, or leaving it out.",
        NODE,
        ((key, counts.stood_in) for key, counts in nodes),
    )
    yield histogram(
        "inferloom_batch_rows", "Rows of each batch.", UNIT, ((key, batcher.counts.rows) for key, batcher in units)
    )
    yield histogram(
        "inferloom_batch_queue_seconds",
        "Time that requests waited until their batch went out.",
        UNIT,
        ((key, batcher.counts.queue) for key, batcher in units),
    )
    yield counter(
        "inferloom_batch_requests",
        "Requests in batches.",
        UNIT,
        ((key, batcher.counts.requests) for key, batcher in units),
    )
    yield gauge(
        "inferloom_batch_waiting_rows", "Rows that wait now.", UNIT, ((key, float(b.waiting)) for key, b in units)
    )
    yield gauge(
        "inferloom_batch_in_flight", "Batches under way.", UNIT, ((key, float(b.in_flight)) for key, b in units)
    )
