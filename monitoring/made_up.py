"""Series that are made up, for the alerts that no recording makes fire: what lasts for hours, or needs a GPU.

In each case something is bad and something else, beside it or before it, is good: what is expected is all that fires.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "HOURS", "Case"]

Alert = dict[str, str]
ANSWERS = 'inferloom_request_duration_seconds_count{model="%s",code="%s"}'


@dataclass(frozen=True)
class Case:
    """One test."""

    series: dict[str, str]  # values in promtool's notation
    expected: list[Alert]  # that fire at `at`
    at: int  # minutes
    silent: int = 0  # minutes until when nothing has fired; 0: whatever has
    every: int = 15  # seconds between values


def failing(count: int) -> dict[str, str]:
    """Of 1000 requests in five minutes so many of model `bad` fail, and 1 of model `good`, whose callers make mistakes."""
    return {
        'inferloom_objective_availability_ratio{model="bad"}': "0.999+0x100",
        'inferloom_objective_availability_ratio{model="good"}': "0.999+0x100",
        'inferloom_replica_usable{model="bad"}': "1+0x100",
        'inferloom_replica_usable{model="good"}': "1+0x100",
        ANSWERS % ("bad", "OK"): f"0+{1000 - count}x100",
        ANSWERS % ("bad", "INTERNAL"): f"0+{count}x100",
        ANSWERS % ("good", "OK"): "0+699x100",
        ANSWERS % ("good", "UNAVAILABLE"): "0+1x100",
        ANSWERS % ("good", "INVALID_ARGUMENT"): "0+300x100",
        ANSWERS % ("good", "CANCELLED"): "0+300x100",
    }


def late(count: int) -> dict[str, str]:
    """The same of answers that are late."""
    return {
        'inferloom_objective_latency_ratio{model="bad"}': "0.99+0x100",
        'inferloom_objective_latency_ratio{model="good"}': "0.99+0x100",
        ANSWERS % ("bad", "OK"): "0+1000x100",
        ANSWERS % ("good", "OK"): "0+1000x100",
        'inferloom_objective_slow_total{model="bad",edge="e"}': f"0+{count}x100",
        'inferloom_objective_slow_total{model="good"}': "0+9x100",
    }


def bad(alert: str, **labels: str) -> Alert:
    return {"alertname": alert, **labels}


HOURS = 5 * 60  # seconds between values, where a case lasts hours
CASES = {
    "fails for an hour": Case(
        failing(8),
        [
            bad("InferloomErrorBudgetBurnsOn", model="bad"),
            bad("InferloomErrorBudgetBurnsSlowly", model="bad"),
        ],
        at=100,
        every=60,
    ),
    "fails a little, for six hours": Case(
        failing(4), [bad("InferloomErrorBudgetBurnsSlowly", model="bad")], at=420, every=HOURS
    ),
    "late for an hour": Case(
        late(80),
        [
            bad("InferloomLatencyBudgetBurnsOn", model="bad"),
            bad("InferloomLatencyBudgetBurnsSlowly", model="bad"),
        ],
        at=100,
        every=60,
    ),
    "late a little, for six hours": Case(
        late(40), [bad("InferloomLatencyBudgetBurnsSlowly", model="bad")], at=420, every=HOURS
    ),
    "nobody serves a model with an objective": Case(
        {
            'inferloom_objective_availability_ratio{model="bad"}': "0.999+0x40",
            'inferloom_objective_latency_seconds{model="good"}': "0.1+0x40",
            'inferloom_replica_usable{model="bad",replica="a"}': "1+0x19 0+0x19",
            'inferloom_replica_usable{model="good",replica="a"}': "0+0x40",
            'inferloom_replica_usable{model="good",replica="b"}': "1+0x40",
            'inferloom_replica_usable{model="unpromised",replica="a"}': "0+0x40",
        },
        [bad("InferloomModelGone", model="bad")],
        at=8,
        silent=5,
    ),
    "a replica does not start": Case(
        {
            'inferloom_replica_registered{model="m",replica="bad",state="starting"}': "1+0x80",
            'inferloom_replica_registered{model="m",replica="good",state="starting"}': "1+0x40 _x40",
            'inferloom_replica_registered{model="m",replica="good",state="serving"}': "_x41 1+0x40",
        },
        [bad("InferloomReplicaDoesNotStart", model="m", replica="bad")],
        at=18,
        silent=14,
    ),
    "a Triton is started again and again": Case(
        {
            'inferloom_triton_generation{instance="bad"}': "1+0x19 2+0x9 3+0x9 4+0x20",
            'inferloom_triton_generation{instance="good"}': "1+0x19 2+0x40",
        },
        [bad("InferloomTritonRestarts")],
        at=12,
        silent=9,
    ),
    "a queue grows in Triton, and requests under way at an edge": Case(
        {
            'nv_inference_pending_request_count{model="bad",replica="a"}': "0+0x20 0+5x40",
            'nv_inference_pending_request_count{model="good",replica="a"}': "30+0x60",
            'inferloom_replica_in_flight{model="worse",replica="a",edge="e"}': "0+0x20 0+20x40",
            'inferloom_replica_in_flight{model="good",replica="a",edge="e"}': "60+0x60",
        },
        [bad("InferloomQueueGrows", model="bad"), bad("InferloomQueueGrows", model="worse")],
        at=12,
        silent=5,
    ),
    "a GPU is full": Case(
        {
            'inferloom_gpu_memory_used_bytes{replica="bad",gpu="0"}': "79+0x60",
            'inferloom_gpu_memory_total_bytes{replica="bad",gpu="0"}': "80+0x60",
            'inferloom_gpu_memory_used_bytes{replica="good",gpu="0"}': "70+0x60",
            'inferloom_gpu_memory_total_bytes{replica="good",gpu="0"}': "80+0x60",
        },
        [bad("InferloomGpuMemory", replica="bad")],
        at=8,
        silent=4,
    ),
    "a router's and an edge's retries have spent their budget": Case(
        {
            'inferloom_retry_budget_tokens{model="bad",instance="r1"}': "10+0x20 0+0x40",
            'inferloom_retry_budget_tokens{model="bad",instance="r2"}': "10+0x60",
            'inferloom_retry_budget_tokens{model="good",instance="r1"}': "5+0x60",
            'inferloom_retry_budget_most_tokens{model="bad",instance="r1"}': "10+0x60",
            'inferloom_retry_budget_most_tokens{model="bad",instance="r2"}': "10+0x60",
            'inferloom_retry_budget_most_tokens{model="good",instance="r1"}': "10+0x60",
            'inferloom_edge_retries_refused_total{model="worse",edge="e"}': "0+0x20 0+15x40",
            'inferloom_edge_retries_refused_total{model="good",edge="e"}': "7+0x60",
        },
        [bad("InferloomRetryBudgetEmpty", model="bad"), bad("InferloomRetryBudgetEmpty", model="worse")],
        at=10,
        silent=5,
    ),
    "nothing is heard from the registry": Case(
        {
            'inferloom_catalog_age_seconds{instance="bad"}': "0+15x60",
            'inferloom_catalog_age_seconds{instance="good"}': "10+0x60",
        },
        [bad("InferloomRegistrySilent")],
        at=7,
        silent=5,
    ),
    "an event loop is late": Case(
        {
            'inferloom_event_loop_lag_seconds{instance="bad"}': "0+0x20 0.8+0x40",
            'inferloom_event_loop_lag_seconds{instance="good"}': "0+0x20 0.8 0+0x40",
        },
        [bad("InferloomEventLoopLate")],
        at=8,
        silent=5,
    ),
    "an edge refuses what it is sent": Case(
        {
            'inferloom_xds_nacks_total{instance="bad",type="routes"}': "0+0x20 1+0x40",
            'inferloom_xds_nacks_total{instance="good",type="routes"}': "3+0x60",
            'inferloom_xds_quarantined{instance="good"}': "0+0x60",
        },
        [bad("InferloomEdgeRefuses")],
        at=6,
        silent=5,
    ),
    "an edge goes on refusing a model": Case(
        {'inferloom_xds_quarantined{instance="bad"}': "0+0x20 1+0x40"},
        [bad("InferloomEdgeRefuses")],
        at=12,
        silent=5,
    ),
    "the last edge has gone": Case(
        {
            'inferloom_xds_edges{instance="bad"}': "1+0x20 0+0x40",
            'inferloom_xds_edges{instance="never had one"}': "0+0x60",
            'inferloom_xds_edges{instance="good"}': "1+0x60",
        },
        [bad("InferloomNoEdges")],
        at=8,
        silent=5,
    ),
    "an edge's figures cannot be read": Case(
        {
            'inferloom_edge_up{edge="bad"}': "1+0x20 0+0x40",
            'inferloom_edge_up{edge="good"}': "1+0x20 0 1+0x40",
        },
        [bad("InferloomEdgeUnread")],
        at=8,
        silent=5,
    ),
    "documents are not in force": Case(
        {
            'inferloom_policy_refused{model="bad"}': "1+0x60",
            'inferloom_policy_refused{model="good"}': "1 stale",
            'inferloom_split_refused{split="bad"}': "1+0x60",
            'inferloom_split_refused{split="good"}': "1 0+0x60",
        },
        [bad("InferloomDocumentRefused", model="bad"), bad("InferloomSplitRefused", split="bad")],
        at=5,
    ),
}
