"""Triton's own metrics through its sidecar."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.telemetry.metrics import exposition
from inferloom.sidecar.board import Life, Phase
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.gpu import Gpu
from inferloom.sidecar.metrics import SidecarMetrics
from inferloom.sidecar.sidecar import Sidecar
from inferloom.sidecar.triton_metrics import triton_metrics

TEXT = """\
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="digits",version="1"} 7
nv_inference_request_success{model="other",version="1"} 8
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="digits",version="1"} 2000000
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_count{model="digits",version="1"} 2
nv_inference_first_response_histogram_ms_sum{model="digits",version="1"} 5
nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="100"} 2
nv_inference_first_response_histogram_ms_bucket{model="digits",version="1",le="+Inf"} 2
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.5
# TYPE strange_thing gauge
strange_thing 1
"""


def shown(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    return {f"{s.name}{sorted(s.labels.items())}": s.value for family in families for s in family.samples}


def test_they_keep_their_names_and_gain_the_replica() -> None:
    text = exposition(lambda: triton_metrics(TEXT, "t0", {"digits"})).decode()
    lines = [line for line in text.splitlines() if line.startswith(("nv_", "strange"))]
    labels = 'model="digits",replica="t0",version="1"'
    assert lines == [
        f"nv_inference_request_success{{{labels}}} 7.0",
        f"nv_inference_compute_infer_duration_us{{{labels}}} 2e+06",
        f"nv_inference_first_response_histogram_ms_count{{{labels}}} 2.0",
        f"nv_inference_first_response_histogram_ms_sum{{{labels}}} 5.0",
        'nv_inference_first_response_histogram_ms_bucket{le="100",model="digits",replica="t0",version="1"} 2.0',
        'nv_inference_first_response_histogram_ms_bucket{le="+Inf",model="digits",replica="t0",version="1"} 2.0',
        'nv_cpu_utilization{replica="t0"} 0.5',
    ]


async def test_gpus_are_joined_with_models_and_only_those_of_the_sidecar_have_labels() -> None:
    clock = ManualClock()
    sidecar = Sidecar(SidecarConfig(repository=Path()), MemoryRegistry(), clock)
    sidecar._board.begin(Life("127.0.0.1", 1, 2, 1))
    sidecar._board.show("digits", Phase.SERVING, versions=["1"])
    metrics = SidecarMetrics(sidecar, "t0", clock=clock)
    busy = [Gpu("GPU-1", 0.5, 40.0, 80.0, 300.0)]
    metrics.heard(TEXT, busy)
    await clock.advance(4.0)
    metrics.heard(TEXT.replace("2000000", "3000000"), busy)
    found = shown(exposition(metrics.collect).decode())
    assert found["inferloom_model_gpu_seconds_total[('model', 'digits'), ('replica', 't0')]"] == 2.0
    assert found["inferloom_model_gpu[('gpu', 'GPU-1'), ('model', 'digits'), ('replica', 't0')]"] == 1.0
    assert found["inferloom_gpu_utilization_ratio[('gpu', 'GPU-1'), ('replica', 't0')]"] == 0.5
    assert found["inferloom_gpu_memory_total_bytes[('gpu', 'GPU-1'), ('replica', 't0')]"] == 80.0
    assert found["inferloom_triton_succeeded[('model', 'digits')]"] == 7.0
    assert not any("other" in key for key in found)


async def test_a_triton_that_does_not_answer_has_no_figures() -> None:
    sidecar = Sidecar(SidecarConfig(repository=Path()), MemoryRegistry())
    metrics = SidecarMetrics(sidecar, "t0")
    metrics.heard(TEXT, [])
    metrics.heard("", [])
    found = shown(exposition(metrics.collect).decode())
    assert found["inferloom_triton_up[]"] == 0.0
    assert not any(key.startswith("nv_") for key in found)
