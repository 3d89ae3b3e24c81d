"""What GPUs do, from Triton's text and from nvidia-smi's, and whose work it was."""

from __future__ import annotations

import pytest

from inferloom.sidecar.gpu import MIB, Gpu, from_smi, from_triton
from inferloom.sidecar.gpu_seconds import NOBODY, GpuSeconds
from inferloom.sidecar.load import ModelLoad

TRITON = """\
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.25
nv_gpu_utilization{gpu_uuid="GPU-2"} 0
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 85899345920.000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 42949672960.000000
nv_gpu_power_usage{gpu_uuid="GPU-1"} 312.5
nv_inference_count{model="digits",version="1"} 10
"""
SMI = """\
GPU-5f0c, 37, 1024, 81920, 312.40
GPU-77aa, [N/A], 0, 24576, [N/A]

"""
BUSY = [Gpu("GPU-1", 0.5), Gpu("GPU-2", 1.0)]


def loads(**compute: float) -> dict[str, ModelLoad]:
    """Compute time so far by model, seconds."""
    return {model: ModelLoad(compute_us=seconds * 1e6) for model, seconds in compute.items()}


def test_tritons_own_figures_are_read() -> None:
    one, two = from_triton(TRITON)
    assert one == Gpu("GPU-1", 0.25, 42949672960.0, 85899345920.0, 312.5)
    assert two == Gpu("GPU-2")
    assert from_triton("nv_inference_count 1\n") == []


def test_nvidia_smis_figures_are_in_percent_and_mebibytes_and_may_be_missing() -> None:
    assert from_smi(SMI) == [
        Gpu("GPU-5f0c", 0.37, 1024 * MIB, 81920 * MIB, 312.4),
        Gpu("GPU-77aa", 0.0, 0.0, 24576 * MIB, 0.0),
    ]


def test_busy_time_is_shared_out_by_compute_time() -> None:
    """Ten seconds at half and at full use are fifteen GPU-seconds; three quarters of the compute time were a's."""
    counted = GpuSeconds()
    counted.read(100.0, BUSY, loads(a=50, b=50))
    assert counted.seconds == {}
    counted.read(110.0, BUSY, loads(a=56, b=52))
    assert counted.seconds == pytest.approx({"a": 11.25, "b": 3.75})
    counted.read(112.0, BUSY, loads(a=56, b=53))
    assert counted.seconds == pytest.approx({"a": 11.25, "b": 6.75})


def test_busy_time_in_which_no_model_has_finished_anything_is_nobodys() -> None:
    counted = GpuSeconds()
    counted.read(0.0, BUSY, loads(a=1))
    counted.read(2.0, BUSY, loads(a=1))
    assert counted.seconds == pytest.approx({NOBODY: 3.0})


def test_a_triton_that_was_started_again_counts_from_nothing() -> None:
    counted = GpuSeconds()
    counted.read(0.0, BUSY, loads(a=100))
    counted.read(2.0, BUSY, loads(a=1))
    assert counted.seconds == pytest.approx({NOBODY: 3.0})
    counted.read(4.0, BUSY, loads(a=2))
    assert counted.seconds == pytest.approx({NOBODY: 3.0, "a": 3.0})


def test_a_long_silence_says_nothing_and_a_model_that_is_gone_is_dropped() -> None:
    counted = GpuSeconds()
    counted.read(0.0, BUSY, loads(a=1, b=1))
    counted.read(1.0, BUSY, loads(a=2, b=2))
    assert counted.seconds.keys() == {"a", "b"}
    counted.read(1000.0, BUSY, loads(a=500))
    assert counted.seconds == pytest.approx({"a": 0.75})
