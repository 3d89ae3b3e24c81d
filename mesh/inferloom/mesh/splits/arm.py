"""One of a split's alternatives, and where a request goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from inferloom.mesh.splits.ranges import SPAN, Range, width

__all__ = ["Arm", "Assignment"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the alternatives. A mirror arm takes no traffic: it is sent copies, and its answers are thrown away."""

    name: str
    share: float = 0.0  # of the sum of shares, 0 or more; always 0 for a mirror
    version: str = ""  # of the model; "": the name
    model: str = ""  # another model instead of the split's own; then `version` "" is its default one
    mirror: bool = False
    sample: float = 1.0  # of a mirror: the part of the requests it is sent, 0 to 1
    ranges: tuple[Range, ...] = ()  # of the points, in the order in which it got them

    @property
    def target_version(self) -> str:
        """The version to ask for; "" only where another model's default one is meant."""
        return self.version or ("" if self.model else self.name)

    @property
    def part(self) -> float:
        """The part of the units that belong to it, 0 to 1."""
        return width(self.ranges) / SPAN


class Assignment(NamedTuple):
    """Where one request goes."""

    arm: Arm
    point: int  # 64 bits: the unit's, or drawn for this request alone
    propensity: float  # the probability of this arm for a unit of which nothing is known; 1 with an override
    sticky: bool  # whether it had a unit
    override: bool = False
