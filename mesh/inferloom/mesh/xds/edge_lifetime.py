"""Tells whether what an Envoy has counted goes on from the last reading of its edge, or began anew, or long before.

Envoy says for how many seconds it has run. It brings that up to date every two seconds, as its histograms, and cuts it to
whole ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from inferloom.mesh.explain.pace import INFINITY

__all__ = ["UPTIME", "Counted", "Lifetime", "uptime"]

UPTIME = "server.uptime"  # the statistic; seconds
BEHIND = 4.0  # seconds that it is behind the clock at most
START = 3.0  # seconds from an Envoy's start until it asks for its configuration; it has served nothing by then


class Counted(Enum):
    """How an Envoy's counts go with those that were read before."""

    ANEW = "anew"  # another Envoy: all of it has come since
    ON = "on"  # the same one: what it has more than the last time has come since
    BEFORE = "before"  # it ran before this process knew of it: nobody can say when what it has counted came


class Lifetime:
    """Of the Envoys that run one after the other at an edge, while it stays connected.

    Args:
        absent: on the process's clock: when the edge was last known not to be connected.
    """

    def __init__(self, absent: float) -> None:
        self._absent = absent
        self._last: tuple[float, float] | None = None  # when it was read, and what it said

    def judge(self, seconds: float, now: float) -> Counted:
        """A reading has come. `seconds`: for how long its Envoy has run, as it says."""
        last, self._last = self._last, (now, seconds)
        if last is None:
            return Counted.BEFORE if seconds > now - self._absent + START else Counted.ANEW
        at, said = last
        return Counted.ANEW if seconds < said or seconds + BEHIND < now - at else Counted.ON


def uptime(stats: Iterable[Mapping[str, Any]]) -> float:
    """Seconds, from "stats" of Envoy's /stats; INFINITY where they are not among them."""
    return next((float(each["value"]) for each in stats if each.get("name") == UPTIME), INFINITY)
