"""Hosts, the nodes of pipelines, and their batches."""

from __future__ import annotations

from monitoring.boards.queries import mean, p99
from monitoring.panels import Panel, Row

__all__ = ["ROWS"]

P = 'pipeline=~"$pipeline"'
NODES = "inferloom_pipeline_node_duration_seconds_count"

ROWS = [
    Row(
        "Calls",
        [
            Panel(
                "Calls by code",
                [("sum by (model, code) (rate(inferloom_host_call_duration_seconds_count[1m]))", "{{model}} {{code}}")],
                "reqps",
            ),
            Panel(
                "99th percentile",
                [(p99("inferloom_host_call_duration_seconds", "model", 'code="OK"'), "{{model}}")],
                "s",
            ),
            Panel("Wait for a turn, 99 %", [(p99("inferloom_host_queue_seconds", "model", ""), "{{model}}")], "s"),
            Panel("User's code, 99 %", [(p99("inferloom_host_run_seconds", "model", ""), "{{model}}")], "s"),
        ],
    ),
    Row(
        "Nodes",
        [
            Panel(
                "Runs",
                [(f"sum by (node) (rate(inferloom_pipeline_node_duration_seconds_count{{{P}}}[1m]))", "{{node}}")],
                "reqps",
            ),
            Panel("99th percentile", [(p99("inferloom_pipeline_node_duration_seconds", "node", P), "{{node}}")], "s"),
            Panel(
                "Failures, and what stood in",
                [
                    (
                        f'sum by (node, code) (rate({NODES}{{{P},code!="OK"}}[1m])) > 0',
                        "{{node}} {{code}}",
                    ),
                    (
                        f"sum by (node) (rate(inferloom_pipeline_node_stood_in_total{{{P}}}[1m])) > 0",
                        "{{node}} stood in",
                    ),
                ],
                "reqps",
            ),
        ],
    ),
    Row(
        "Batches",
        [
            Panel("Rows, mean", [(mean("inferloom_batch_rows", "unit", P), "{{unit}}")]),
            Panel("Wait, 99 %", [(p99("inferloom_batch_queue_seconds", "unit", P), "{{unit}}")], "s"),
            Panel("Rows that wait", [(f"sum by (unit) (inferloom_batch_waiting_rows{{{P}}})", "{{unit}}")]),
            Panel("Batches under way", [(f"sum by (unit) (inferloom_batch_in_flight{{{P}}})", "{{unit}}")]),
        ],
    ),
]
