"""GPU-seconds of each model: how busy the GPUs were, shared out by the time that Triton computed for each.

No counter of the hardware knows models. Triton's compute time does, but it also passes while a kernel waits for another
model's; so the busy time of the GPUs is what is shared out, and the sum over the models never exceeds it. It is right where
the GPUs are this Triton's own: what another process does on them would be counted to its models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferloom.sidecar.gpu import Gpu
from inferloom.sidecar.load import ModelLoad

__all__ = ["GpuSeconds"]

NOBODY = "(none)"  # the GPU was busy, and no model of this Triton has finished anything
LONGEST = 60.0  # seconds between two readings of which anything can be said


class GpuSeconds:
    """Adds up from reading to reading.

    Attributes:
        seconds: by model, since this process began.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at: float | None = None
        self._compute: dict[str, float] = {}

    def read(self, now: float, gpus: Iterable[Gpu], loads: Mapping[str, ModelLoad]) -> None:
        """A reading of all of them, at `now` seconds on one clock."""
        before, self._at = self._at, now
        earlier, self._compute = self._compute, {model: load.compute_us for model, load in loads.items()}
        for model in self.seconds.keys() - loads.keys() - {NOBODY}:
            del self.seconds[model]
        if before is None or not 0 < now - before <= LONGEST:
            return
        busy = sum(gpu.busy for gpu in gpus) * (now - before)
        worked = {model: max(0.0, us - earlier.get(model, 0.0)) for model, us in self._compute.items()}
        whole = sum(worked.values())
        shares = {model: us / whole for model, us in worked.items() if us} if whole else {NOBODY: 1.0}
        for model, share in shares.items() if busy else ():
            self.seconds[model] = self.seconds.get(model, 0.0) + busy * share
