"""Envoy at the edge, and its control plane."""

from __future__ import annotations

from monitoring.panels import Panel, Row

__all__ = ["ROWS"]

CLUSTER = "{{envoy_cluster_name}}"

ROWS = [
    Row(
        "Edges",
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
            Panel(
                "By cluster",
                [
                    (
                        "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[1m])) > 0",
                        CLUSTER,
                    )
                ],
                "reqps",
            ),
            Panel(
                "99th percentile by cluster",
                [
                    (
                        "histogram_quantile(0.99, sum by (envoy_cluster_name, le) "
                        "(rate(envoy_cluster_upstream_rq_time_bucket[1m]))) / 1000",
                        CLUSTER,
                    )
                ],
                "s",
            ),
        ],
    ),
    Row(
        "Resilience",
        [
            Panel(
                "Retries",
                [
                    (
                        "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_retry[1m])) > 0",
                        CLUSTER,
                    )
                ],
                "reqps",
            ),
            Panel(
                "Ejected replicas",
                [
                    (
                        "sum by (envoy_cluster_name) (envoy_cluster_outlier_detection_ejections_active) > 0",
                        CLUSTER,
                    )
                ],
            ),
            Panel("Connections", [("sum by (instance) (envoy_http_downstream_cx_active)", "{{instance}}")]),
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
