"""A sidecar's metrics: its models' phases, Triton's own metrics, and its GPUs, all by model and replica."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.telemetry.metrics_series import counter, gauge
from inferloom.sidecar.board import Phase
from inferloom.sidecar.gpu import Gpu, read_gpus
from inferloom.sidecar.gpu_seconds import GpuSeconds
from inferloom.sidecar.load import ModelLoad, parse
from inferloom.sidecar.sidecar import Sidecar
from inferloom.sidecar.triton_metrics import triton_metrics

__all__ = ["SidecarMetrics"]

EVERY = 5.0  # seconds between readings of Triton's metrics


class SidecarMetrics:
    """Reads Triton and the GPUs now and then, and tells what was read last.

    Args:
        replica: the sidecar's id.
        gpus: indices or UUIDs of Triton's GPUs; empty: all of the machine's.
    """

    def __init__(self, sidecar: Sidecar, replica: str, gpus: tuple[str, ...] = (), clock: Clock = SYSTEM) -> None:
        self._sidecar = sidecar
        self._replica = replica
        self._ids = gpus
        self._clock = clock
        self._text = ""
        self._loads: Mapping[str, ModelLoad] = {}
        self._gpus: list[Gpu] = []
        self._seconds = GpuSeconds()

    async def run(self) -> None:
        """Read, for ever."""
        while True:
            self.heard(text := await self._sidecar.triton_text(), await read_gpus(text, self._ids))
            await self._clock.sleep(EVERY)

    def heard(self, text: str, gpus: list[Gpu]) -> None:
        """What Triton's metrics and the GPUs say now; no text: Triton does not answer."""
        self._text, self._gpus, self._loads = text, gpus, parse(text)
        if text:
            self._seconds.read(self._clock.now(), gpus, self._loads)

    def collect(self) -> Iterable[Metric]:
        """Models are those of the sidecar."""
        status, replica = self._sidecar.status.value, self._replica
        models = status.models.keys()
        yield gauge(
            "inferloom_sidecar_model_phase",
            "1 for the phase a model is in.",
            ("model", "phase"),
            (((m.model, str(p)), float(m.phase is p)) for m in status.models.values() for p in Phase),
        )
        yield gauge(
            "inferloom_triton_generation", "Starts of Triton by this sidecar.", (), [((), float(status.generation))]
        )
        yield gauge("inferloom_triton_up", "1 while Triton serves.", (), [((), float(status.phase is Phase.SERVING))])
        for name, text in (
            ("pending", "Requests that wait in Triton."),
            ("succeeded", "Requests Triton has answered."),
        ):
            rows = [((m,), float(getattr(load, name))) for m, load in self._loads.items() if m in models]
            yield gauge(f"inferloom_triton_{name}", text, ("model",), rows)
        yield counter(
            "inferloom_model_gpu_seconds",
            "Busy time of the GPUs, shared out by the time Triton computed for each model; (none): for no model.",
            ("model", "replica"),
            [((m, replica), s) for m, s in self._seconds.seconds.items() if m in models or m.startswith("(")],
        )
        yield gauge(
            "inferloom_model_gpu",
            "1: the model's Triton has this GPU.",
            ("model", "replica", "gpu"),
            [((m, replica, gpu.id), 1.0) for m in models for gpu in self._gpus],
        )
        of_gpus = (
            ("utilization_ratio", "Part of the time that a kernel ran.", "busy"),
            ("memory_used_bytes", "Memory in use, by any process.", "memory_used"),
            ("memory_total_bytes", "Memory there is.", "memory_total"),
            ("power_watts", "Power drawn.", "power"),
        )
        for name, text, field in of_gpus:
            values = [((replica, gpu.id), float(getattr(gpu, field))) for gpu in self._gpus]
            yield gauge(f"inferloom_gpu_{name}", text, ("replica", "gpu"), values)
        yield from triton_metrics(self._text, replica, models)
