"""Envoy at the edge, and its control plane."""

from __future__ import annotations

from monitoring.panels import Panel, Row

__all__ = ["ROWS"]

SENT = 'edge!=""'  # what edges have sent to replicas themselves, as the control plane tells it

ROWS = [
    Row(
        "Sent to replicas by edges",
        [
            Panel(
                "By model and code",
                [
                    (
                        f"sum by (model, code) (rate(inferloom_request_duration_seconds_count{{{SENT}}}[1m])) > 0",
                        "{{model}} {{code}}",
                    )
                ],
                "reqps",
                stacked=True,
            ),
            Panel(
                "99th percentile",
                [
                    (
                        "histogram_quantile(0.99, sum by (model, le) (rate(inferloom_request_duration_seconds_bucket"
                        f'{{{SENT},code="OK",kind!="stream"}}[1m])))',
                        "{{model}}",
                    )
                ],
                "s",
            ),
            Panel(
                "Part of all requests",
                [
                    (
                        f"sum by (model) (rate(inferloom_request_duration_seconds_count{{{SENT}}}[1m])) "
                        "/ sum by (model) (rate(inferloom_request_duration_seconds_count[1m]))",
                        "{{model}}",
                    )
                ],
                "percentunit",
                "The rest goes through a router: models that want Python, explanations, what has no route.",
            ),
        ],
    ),
    Row(
        "Resilience",
        [
            Panel(
                "Retries",
                [
                    (f"sum by (model) (rate(inferloom_retries_total{{{SENT}}}[1m])) > 0", "{{model}}"),
                    (
                        "sum by (model) (rate(inferloom_edge_retries_refused_total[1m])) > 0",
                        "{{model}}: budget spent",
                    ),
                ],
                "reqps",
            ),
            Panel(
                "Attempts that failed",
                [
                    (
                        'sum by (model, replica) (rate(inferloom_edge_attempts_total{result="failed"}[1m])) > 0',
                        "{{model}} {{replica}}",
                    )
                ],
                "reqps",
            ),
            Panel(
                "Replicas passed over",
                [
                    (
                        f'max by (model, replica) (inferloom_replica_state{{{SENT},state="open"}}) > 0',
                        "{{model}} {{replica}}",
                    )
                ],
            ),
        ],
    ),
    Row(
        "Envoy's own (where its admin port is scraped)",
        [
            Panel(
                "Requests by class",
                [
                    (
                        "sum by (instance, envoy_response_code_class) (rate(envoy_http_downstream_rq_xx[1m]))",
                        "{{instance}} {{envoy_response_code_class}}xx",
                    )
                ],
                "reqps",
            ),
            Panel("Connections", [("sum by (instance) (envoy_http_downstream_cx_active)", "{{instance}}")]),
            Panel(
                "By cluster",
                [
                    (
                        "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[1m])) > 0",
                        "{{envoy_cluster_name}}",
                    )
                ],
                "reqps",
            ),
        ],
    ),
    Row(
        "Control plane",
        [
            Panel("Edges connected", [("inferloom_xds_edges", "{{instance}}")]),
            Panel(
                "Answers taken and refused",
                [
                    ("sum by (type) (rate(inferloom_xds_acks_total[1m]))", "{{type}} taken"),
                    ("sum by (type) (rate(inferloom_xds_nacks_total[1m])) > 0", "{{type}} refused"),
                ],
            ),
            Panel("Resources an edge does not take", [("inferloom_xds_quarantined", "{{instance}}")]),
            Panel("Time spent compiling", [("rate(inferloom_xds_compile_seconds_total[1m])", "{{instance}}")], "s"),
        ],
    ),
]
