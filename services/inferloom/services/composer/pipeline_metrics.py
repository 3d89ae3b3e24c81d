"""The metrics of pipelines, from what their nodes and batchers have counted."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from inferloom.mesh.telemetry.metrics_series import counter, gauge, histogram
from inferloom.services.composer.plan import Plan

__all__ = ["pipeline_metrics"]

NODE = ("pipeline", "node")
UNIT = ("pipeline", "unit")


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
