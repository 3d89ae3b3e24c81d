"""What a split must be: each rule with the words it is refused with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.names import check_name
from inferloom.mesh.splits.arm import Arm
from inferloom.mesh.splits.ranges import SPAN

__all__ = ["check_arms", "check_ranges", "check_unit"]

LONGEST = 256  # characters of a salt, a metadata key or a unit that is overridden
MOST_ARMS = 64
MOST_OVERRIDES = 10_000
TOLERANCE = 2**-32  # of the whole, between an arm's share and its ranges
METADATA_KEY = re.compile(r"[a-z0-9_.-]+")
CURE = "leave 'ranges' out and they are made"


def check_arms(where: str, arms: Sequence[Arm]) -> None:
    """Names, shares and samples.

    Args:
        where: the split, as messages begin.

    Raises:
        InvalidInput: names the arm and says what would be right.
    """
    if not 1 <= len(arms) <= MOST_ARMS:
        raise InvalidInput(f"{where}: it has {len(arms)} arms; 1 to {MOST_ARMS}")
    seen: set[str] = set()
    for arm in arms:
        check_name(arm.name, f"name of an arm of {where}")
        place = f"{where}: arm '{arm.name}'"
        if arm.name in seen:
            raise InvalidInput(f"{place} is there twice")
        seen.add(arm.name)
        for what in ("version", "model"):
            if value := getattr(arm, what):
                check_name(value, f"{what} in {place}")
        if not 0 <= arm.share < math.inf:
            raise InvalidInput(f"{place}: its share is {arm.share}, and must be 0 or more")
        if arm.mirror and arm.share:
            raise InvalidInput(f"{place} is a mirror and takes no share; 'sample' says how many requests it is sent")
        if not 0 <= arm.sample <= 1:
            raise InvalidInput(f"{place}: its sample is {arm.sample}, and must be 0 to 1")
    if not 0 < sum(arm.share for arm in arms) < math.inf:
        raise InvalidInput(f"{where}: no arm has a share above 0, so nobody would answer")


def check_unit(where: str, arms: Sequence[Arm], salt: str, by: str, overrides: Mapping[str, str]) -> None:
    """What makes it sticky, and who is set by hand.

    Raises:
        InvalidInput: names the field and says what would be right.
    """
    for key, value in (("salt", salt), ("by", by)):
        if len(value) > LONGEST:
            raise InvalidInput(f"{where}: '{key}' is longer than {LONGEST} characters")
    if by and METADATA_KEY.fullmatch(by) is None:
        right = "lower-case letters, digits, '-', '_' or '.'"
        raise InvalidInput(f"{where}: by: {by!r} is no key of gRPC metadata: {right}")
    if overrides and not by:
        raise InvalidInput(f"{where}: 'overrides' need 'by', the metadata key whose values they name")
    if len(overrides) > MOST_OVERRIDES:
        raise InvalidInput(f"{where}: {len(overrides)} overrides; at most {MOST_OVERRIDES}")
    served = [arm.name for arm in arms if not arm.mirror]
    for unit, name in overrides.items():
        if not 0 < len(unit) <= LONGEST:
            raise InvalidInput(f"{where}: overrides: a unit has 1 to {LONGEST} characters")
        if name not in served:
            raise InvalidInput(f"{where}: overrides.{unit}: no arm '{name}'; there are {', '.join(served)}")


def check_ranges(where: str, arms: Sequence[Arm], pieces: Iterable[tuple[int, int, Arm]]) -> None:
    """That the pieces, in order, are the whole, and each arm's as many as its share says.

    Raises:
        InvalidInput: names the arm.
    """
    at = 0
    for start, end, arm in pieces:
        if start != at or end <= start:
            told = f"of arm '{arm.name}' begin at {start} and the one before ends at {at}"
            raise InvalidInput(f"{where}: 'ranges' {told}; {CURE}")
        at = end
    if at != SPAN:
        raise InvalidInput(f"{where}: 'ranges' end at {at} instead of {SPAN}; {CURE}")
    total = sum(arm.share for arm in arms)
    for arm in arms:
        if abs(arm.part - arm.share / total) > TOLERANCE:
            told = f"give arm '{arm.name}' {arm.part:.2%}, and its share is {arm.share / total:.2%}"
            raise InvalidInput(f"{where}: 'ranges' {told}; {CURE}")
