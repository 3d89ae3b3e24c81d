"""Who gets which: arms with shares, the unit that makes it sticky, overrides for testers, mirror arms.

One object for an A/B test, a canary and a shadow test, between versions of a model or the arms of a pipeline's Route.
It is the `spec` of a document of kind "split" that is named like the model or service:

    arms:
      - {name: "1", share: 90}           # version: as the name where it is left out
      - {name: "2", share: 10}
      - {name: "3", mirror: true, sample: 0.5}
    by: user                             # metadata key whose value is the unit; left out: each request for itself
    salt: iris                           # left out: the document's name
    overrides: {u17: "2"}                # unit: arm
    ranges: {...}                        # written by the mesh, see splits/ranges.py
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from inferloom.mesh.names import check_name
from inferloom.mesh.splits.arm import Arm, Assignment
from inferloom.mesh.splits.checks import check_arms, check_ranges, check_unit
from inferloom.mesh.splits.ranges import BITS, SPAN, cut, moved, point
from inferloom.mesh.splits.spec import arm_json, read

__all__ = ["KIND", "Arm", "Assignment", "Split", "changed", "settled"]

KIND = "split"  # of its documents
DROPPED = 64 - BITS


@dataclass(frozen=True)
class Split:
    """A checked split. `arms` have their ranges; use `Split.of` to make one from shares alone.

    Raises:
        InvalidInput: something contradicts; the message names the split and the place.
    """

    name: str
    arms: tuple[Arm, ...]
    salt: str = ""  # "": the name
    by: str = ""  # metadata key that carries the unit; "": each request for itself
    overrides: Mapping[str, str] = field(default_factory=dict)  # unit -> arm
    mirrors: tuple[Arm, ...] = field(init=False, compare=False, repr=False)
    shared: tuple[Arm, ...] = field(init=False, compare=False, repr=False)  # the arms with a share, biggest first
    _starts: list[int] = field(init=False, compare=False, repr=False)
    _owners: list[tuple[Arm, float]] = field(init=False, compare=False, repr=False)  # and the arm's part
    _testers: dict[str, Arm] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = f"split '{self.name}'"
        check_name(self.name, "name of a split")
        check_arms(where, self.arms)
        check_unit(where, self.arms, self.salt, self.by, self.overrides)
        pieces = sorted(
            ((start, end, arm) for arm in self.arms for start, end in arm.ranges), key=lambda piece: piece[0]
        )
        check_ranges(where, self.arms, pieces)
        by_name = {arm.name: arm for arm in self.arms}
        values: dict[str, Any] = {
            "salt": self.salt or self.name,
            "mirrors": tuple(arm for arm in self.arms if arm.mirror and arm.sample),
            "shared": tuple(sorted((arm for arm in self.arms if arm.share), key=lambda arm: -arm.share)),
            "_starts": [start for start, _, _ in pieces],
            "_owners": [(arm, arm.part) for _, _, arm in pieces],
            "_testers": {unit: by_name[name] for unit, name in self.overrides.items()},
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @staticmethod
    def of(
        name: str,
        arms: Sequence[Arm],
        *,
        salt: str = "",
        by: str = "",
        overrides: Mapping[str, str] | None = None,
        previous: Split | None = None,
    ) -> Split:
        """A split of these arms, their ranges made from their shares.

        Args:
            previous: the split it takes the place of: whoever can stay in an arm of the same name does. With another salt
                everybody is drawn anew.
        """
        check_arms(f"split '{name}'", arms)
        shares = {arm.name: arm.share for arm in arms if not arm.mirror}
        if previous is None or previous.salt != (salt or name):
            ranges = cut(shares)
        else:
            known = [arm for arm in previous.arms if not arm.mirror]
            ranges = moved({a.name: a.ranges for a in known}, {a.name: a.share for a in known}, shares)
        whole = tuple(replace(arm, ranges=ranges.get(arm.name, ())) for arm in arms)
        return Split(name, whole, salt, by, dict(overrides or {}))

    def arm(self, unit: str | bytes) -> Arm:
        """The arm of a unit, the same in every process."""
        return self.assign(unit, 0.0).arm

    def assign(self, unit: str | bytes | None, draw: float) -> Assignment:
        """The arm of one request.

        Args:
            unit: what makes it sticky; None or empty: this request for itself.
            draw: random, 0 up to 1; looked at only where there is no unit.
        """
        if not unit:
            place = int(draw * SPAN)
            arm, part = self._owners[bisect_right(self._starts, place) - 1]
            return Assignment(arm, place << DROPPED, part, False)
        where = point(self.salt, unit)
        if self._testers:
            tester = self._testers.get(unit if isinstance(unit, str) else unit.decode(errors="replace"))
            if tester is not None:
                return Assignment(tester, where, 1.0, True, True)
        arm, part = self._owners[bisect_right(self._starts, where >> DROPPED) - 1]
        return Assignment(arm, where, part, True)

    def to_json(self) -> dict[str, Any]:
        """The document's spec, ranges and all."""
        spec: dict[str, Any] = {"arms": [arm_json(arm) for arm in self.arms], "salt": self.salt}
        if self.by:
            spec["by"] = self.by
        if self.overrides:
            spec["overrides"] = dict(self.overrides)
        spec["ranges"] = {arm.name: [list(piece) for piece in arm.ranges] for arm in self.arms if arm.ranges}
        return spec

    @staticmethod
    def from_json(name: str, spec: Mapping[str, Any], previous: Split | None = None) -> Split:
        """Read a document's spec. Without `ranges`, as people write it, they are made: from `previous` where there is one.

        Raises:
            InvalidInput: names the split, the place and what would be right.
        """
        arms, salt, by, overrides, ranges = read(f"split '{name}'", spec)
        if not ranges:
            return Split.of(name, arms, salt=salt, by=by, overrides=overrides, previous=previous)
        return Split(name, tuple(replace(a, ranges=ranges.get(a.name, ())) for a in arms), salt, by, overrides)


def changed(split: Split, shares: Mapping[str, float]) -> Split:
    """The split with other shares. Arms that are not named keep theirs; a name that is new is an arm for that version.

    Raising a share moves nobody between other arms and nobody back.
    """
    known = [replace(arm, share=shares.get(arm.name, arm.share)) for arm in split.arms]
    new = [Arm(name, share) for name, share in shares.items() if all(arm.name != name for arm in split.arms)]
    return Split.of(split.name, known + new, salt=split.salt, by=split.by, overrides=split.overrides, previous=split)


def settled(name: str, spec: Mapping[str, Any], previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """A spec as people write it, checked and with the ranges that follow from the present document's: what is to be stored.

    Args:
        previous: the spec of the present document; None where there is none. Ranges in `spec` itself are not looked at.
    """
    before = Split.from_json(name, previous) if previous is not None else None
    written = {key: value for key, value in spec.items() if key != "ranges"}
    return Split.from_json(name, written, before).to_json()
