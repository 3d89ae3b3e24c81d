"""Everything at a glance."""

from __future__ import annotations

from monitoring.boards.queries import mean
from monitoring.panels import Panel, Row

__all__ = ["ROWS"]

LAG = mean("inferloom_watch_lag_seconds", "instance, kind", "")

ROWS = [
    Row(
        "Requests",
        [
            Panel("Requests", [("inferloom:model_requests:rate1m", "{{model}}")], "reqps", stacked=True),
            Panel(
                "Failures",
                [
                    (
                        'sum by (model, code) (rate(inferloom_request_duration_seconds_count{code!="OK"}[1m])) > 0',
                        "{{model}} {{code}}",
                    )
                ],
                "reqps",
            ),
            Panel("99th percentile", [("inferloom:model_latency:p99", "{{model}}")], "s"),
        ],
    ),
    Row(
        "Objectives",
        [
            Panel(
                "Error budget burns",
                [("inferloom:availability_burn:5m", "{{model}}")],
                text="1 spends exactly what the objective allows; alerts begin at 10.",
            ),
            Panel("Latency budget burns", [("inferloom:latency_burn:5m", "{{model}}")]),
            Panel("Alerts", [('count by (alertname, model) (ALERTS{alertstate="firing"})', "{{alertname}} {{model}}")]),
        ],
    ),
    Row(
        "Replicas",
        [
            Panel("Usable", [("sum by (model) (max by (model, replica) (inferloom_replica_usable))", "{{model}}")]),
            Panel(
                "Open breakers",
                [
                    (
                        'max by (model, replica) (inferloom_replica_state{state="open"}) > 0',
                        "{{model}} {{replica}}",
                    )
                ],
            ),
            Panel("In flight", [("inferloom:model_in_flight:sum", "{{model}}")]),
            Panel("Retries", [("sum by (model) (rate(inferloom_retries_total[1m]))", "{{model}}")], "reqps"),
        ],
    ),
    Row(
        "Mesh",
        [
            Panel("Registry: age", [("inferloom_catalog_age_seconds", "{{instance}}")], "s"),
            Panel(
                "Watch lag, mean",
                [(LAG, "{{instance}} {{kind}}")],
                "s",
            ),
            Panel("Event loop: late by", [("inferloom_event_loop_lag_seconds", "{{instance}}")], "s"),
            Panel("Memory", [("process_resident_memory_bytes", "{{instance}}")], "bytes"),
        ],
    ),
]
