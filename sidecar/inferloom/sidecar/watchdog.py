"""Decides, from the answers of a Triton, whether it is up, out or hung, and when to start it again. No I/O."""

from __future__ import annotations

import random
from enum import StrEnum

__all__ = ["Backoff", "Verdict", "Watchdog"]


class Verdict(StrEnum):
    """What a probe means."""

    UP = "up"  # it answers
    SUSPECT = "suspect"  # it missed a probe, not yet enough of them to matter
    OUT = "out"  # it missed enough: no new requests
    HUNG = "hung"  # for so long that it is to be killed


class Watchdog:
    """Counts probes in a row that were not answered.

    Args:
        probes: missed in a row before it is out.
        hung_after: seconds since the last answer (or the start) before it is hung.
        now: the time it was started at.
    """

    def __init__(self, probes: int, hung_after: float, now: float) -> None:
        self._probes = probes
        self._hung_after = hung_after
        self._answered = now
        self.missed = 0

    def answered(self, now: float) -> Verdict:
        self._answered = now
        self.missed = 0
        return Verdict.UP

    def missing(self, now: float) -> Verdict:
        self.missed += 1
        if self.missed < self._probes:
            return Verdict.SUSPECT
        return Verdict.HUNG if now - self._answered >= self._hung_after else Verdict.OUT


class Backoff:
    """Seconds to wait before each restart: doubling from `first` to `most`, with jitter, anew after a healthy minute.

    Args:
        reset: seconds of health after which the next failure counts as the first.
    """

    def __init__(self, rng: random.Random, first: float = 1.0, most: float = 30.0, reset: float = 60.0) -> None:
        self._rng = rng
        self._first = first
        self._most = most
        self._reset = reset
        self._failures = 0

    def next(self, healthy: float) -> float:
        """The wait after a life that was healthy for so many seconds: between half of the step and all of it."""
        if healthy >= self._reset:
            self._failures = 0
        step = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return step * self._rng.uniform(0.5, 1.0)
