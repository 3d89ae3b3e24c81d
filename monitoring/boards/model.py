"""One model, from the router into Triton."""

from __future__ import annotations

from monitoring.panels import Panel, Row

__all__ = ["ROWS"]

M = 'model=~"$model"'

ROWS = [
    Row(
        "Requests",
        [
            Panel(
                "By version and code",
                [
                    (
                        f"sum by (version, code) (rate(inferloom_request_duration_seconds_count{{{M}}}[1m]))",
                        "{{version}} {{code}}",
                    )
                ],
                "reqps",
                stacked=True,
            ),
            Panel(
                "Latency",
                [
                    (f"inferloom:model_latency:p50{{{M}}}", "median"),
                    (f"inferloom:model_latency:p99{{{M}}}", "99 %"),
                    (f"max by (model) (inferloom_objective_latency_seconds{{{M}}})", "objective"),
                ],
                "s",
            ),
            Panel(
                "Time by layer",
                [(f"sum by (layer) (rate(inferloom_layer_seconds_total{{{M}}}[1m]))", "{{layer}}")],
                "s",
                "Seconds that requests spent in each layer, per second.",
                stacked=True,
            ),
        ],
    ),
    Row(
        "Replicas",
        [
            Panel(
                "Attempts",
                [
                    (
                        f"sum by (replica, code) (rate(inferloom_attempt_duration_seconds_count{{{M}}}[1m]))",
                        "{{replica}} {{code}}",
                    ),
                    (
                        f"sum by (replica, result) (rate(inferloom_edge_attempts_total{{{M}}}[1m])) > 0",
                        "{{replica}} edge: {{result}}",
                    ),
                ],
                "reqps",
            ),
            Panel("99th percentile", [(f"inferloom:replica_latency:p99{{{M}}}", "{{replica}}")], "s"),
            Panel("In flight", [(f"sum by (replica) (inferloom_replica_in_flight{{{M}}})", "{{replica}}")]),
            Panel(
                "Retry budget",
                [
                    (
                        f"max by (model) (inferloom_retry_budget_tokens{{{M}}} / inferloom_retry_budget_most_tokens{{{M}}})",
                        "left",
                    )
                ],
                "percentunit",
            ),
        ],
    ),
    Row(
        "Triton",
        [
            Panel("Waiting", [(f"sum by (replica) (nv_inference_pending_request_count{{{M}}})", "{{replica}}")]),
            Panel("Batch, mean", [(f"inferloom:triton_batch:mean{{{M}}}", "{{model}}")]),
            Panel(
                "Queue and compute",
                [
                    (f"sum(rate(nv_inference_queue_duration_us{{{M}}}[1m])) / 1e6", "queue"),
                    (f"sum(rate(nv_inference_compute_input_duration_us{{{M}}}[1m])) / 1e6", "input"),
                    (f"sum(rate(nv_inference_compute_infer_duration_us{{{M}}}[1m])) / 1e6", "infer"),
                    (f"sum(rate(nv_inference_compute_output_duration_us{{{M}}}[1m])) / 1e6", "output"),
                ],
                "s",
                stacked=True,
            ),
        ],
    ),
    Row(
        "GPU",
        [
            Panel("GPU-seconds per second", [(f"inferloom:model_gpu_seconds:rate5m{{{M}}}", "{{model}}")]),
            Panel(
                "Utilisation of its GPUs",
                [
                    (
                        f"inferloom_gpu_utilization_ratio * on (replica, gpu) group_right () inferloom_model_gpu{{{M}}}",
                        "{{replica}} {{gpu}}",
                    )
                ],
                "percentunit",
            ),
            Panel(
                "Memory of its GPUs",
                [
                    (
                        "inferloom_gpu_memory_used_bytes / inferloom_gpu_memory_total_bytes "
                        f"* on (replica, gpu) group_right () inferloom_model_gpu{{{M}}}",
                        "{{replica}} {{gpu}}",
                    )
                ],
                "percentunit",
            ),
        ],
    ),
    Row(
        "Split",
        [
            Panel("Arms", [('inferloom:arm_requests:rate2m{split=~"$model"}', "{{arm}}")], "reqps", stacked=True),
            Panel("Failures of arms", [('inferloom:arm_faults:ratio2m{split=~"$model"}', "{{arm}}")], "percentunit"),
            Panel(
                "Mirrors differ", [('inferloom:mirror_differences:ratio2m{split=~"$model"}', "{{arm}}")], "percentunit"
            ),
        ],
    ),
]
