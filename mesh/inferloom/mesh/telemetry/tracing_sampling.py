"""Which traces are exported though nothing in them failed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry.tracing_context import Remote

__all__ = ["Sampler", "sampler_from_environment"]

NAME, RATIO = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
_KNOWN = {
    "always_on": (1.0, False),
    "always_off": (0.0, False),
    "traceidratio": (None, False),
    "parentbased_always_on": (1.0, True),
    "parentbased_always_off": (0.0, True),
    "parentbased_traceidratio": (None, True),
}  # name: ratio (None: the variable's), whether the caller's decision comes first


@dataclass(frozen=True)
class Sampler:
    """By ratio of traces, as OpenTelemetry's TraceIdRatioBased: all processes decide alike for one trace."""

    ratio: float = 1.0  # 0 to 1
    parent_based: bool = True  # a caller who has decided is followed

    @cached_property
    def below(self) -> int:
        """Traces whose lower 64 bits are below it are taken."""
        return round(self.ratio * 2**64)

    def __call__(self, low: int, remote: Remote | None) -> bool:
        """
        Args:
            low: the lower 64 bits of the trace's id.
            remote: the caller's span; None: the trace begins here.
        """
        if remote is not None and self.parent_based:
            return remote.sampled
        return low < self.below


def sampler_from_environment() -> Sampler:
    """As OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG say; by default all, but for callers who say no.

    A ratio alone is enough: then it is parentbased_traceidratio.

    Raises:
        ConfigError: there is no such sampler, or the ratio is none.
    """
    text = os.environ.get(RATIO, "").strip()
    name = os.environ.get(NAME, "").strip() or ("parentbased_traceidratio" if text else "parentbased_always_on")
    if name not in _KNOWN:
        raise ConfigError(f"{NAME}={name}: there are {', '.join(_KNOWN)}")
    fixed, parent_based = _KNOWN[name]
    if fixed is not None:
        return Sampler(fixed, parent_based)
    try:
        ratio = float(text or "1")
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigError(f"{RATIO}={text}: a ratio of traces is 0 to 1")
    return Sampler(ratio, parent_based)
