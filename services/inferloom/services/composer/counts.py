"""What pipelines count: how long their nodes take, and how large their batches are."""

from __future__ import annotations

from inferloom.mesh.telemetry.metrics_series import Codes, Durations

__all__ = ["ROWS", "BatchCounts", "NodeCounts"]

ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


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
