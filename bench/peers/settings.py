"""What Ray Serve is run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["SETTINGS", "TUNED", "Setting"]

TUNED = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """`batching`: plain, stages (`@serve.batch` on each stage) or ingress (on the ingress, whole batches between stages)."""

    name: str
    batching: str = "plain"
    wait_ms: float = 0.0
    env: Mapping[str, str] = field(default_factory=lambda: TUNED)

    @property
    def batches(self) -> bool:
        return self.batching != "plain"


SETTINGS = (
    Setting("Ray, default", env={}),
    Setting("Ray, tuned"),
    *(Setting(f"Ray, tuned, @serve.batch per stage, {wait:g} ms", "stages", wait) for wait in (2, 10)),
    *(Setting(f"Ray, tuned, @serve.batch at the ingress, {wait:g} ms", "ingress", wait) for wait in (1, 5, 10, 20)),
)
