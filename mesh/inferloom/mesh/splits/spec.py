"""A split as a document's spec: read strictly, an unknown field is refused with the near one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.splits.arm import Arm
from inferloom.mesh.splits.ranges import Range

__all__ = ["Written", "arm_json", "read"]

ARM = ("name", "share", "version", "model", "mirror", "sample")
SPEC = ("arms", "by", "salt", "overrides", "ranges")


class Written(NamedTuple):
    """What a spec says; nothing in it is checked but its form."""

    arms: tuple[Arm, ...]  # without their ranges
    salt: str
    by: str
    overrides: Mapping[str, str]
    ranges: Mapping[str, tuple[Range, ...]]  # empty where people wrote it


def read(where: str, spec: Mapping[str, Any]) -> Written:
    """Read a spec.

    Args:
        where: the split, as messages begin.

    Raises:
        InvalidInput: names the place and what would be right.
    """
    _known(spec, SPEC, where)
    listed = spec.get("arms")
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise InvalidInput(f"{where}: 'arms' must be a list, as [{{name: '1', share: 90}}, {{name: '2', share: 10}}]")
    arms = tuple(_arm(entry, f"{where}: arms[{number}]") for number, entry in enumerate(listed))
    salt, by = (_text(spec.get(key, ""), f"{where}: '{key}'") for key in ("salt", "by"))
    overrides = spec.get("overrides") or {}
    if not isinstance(overrides, Mapping):
        raise InvalidInput(f"{where}: 'overrides' must be a mapping of units to arms")
    named = {str(unit): _text(arm, f"{where}: overrides.{unit}") for unit, arm in overrides.items()}
    ranges = _ranges(spec.get("ranges") or {}, where)
    if unknown := ranges.keys() - {arm.name for arm in arms}:
        names = ", ".join(sorted(unknown))
        raise InvalidInput(f"{where}: 'ranges' names {names}, and no arm is called so; leave 'ranges' out")
    return Written(arms, salt, by, named, ranges)


def arm_json(arm: Arm) -> dict[str, Any]:
    """An entry of 'arms'."""
    shown: dict[str, Any] = {"name": arm.name}
    shown |= {"mirror": True, "sample": arm.sample} if arm.mirror else {"share": arm.share}
    return shown | {key: value for key in ("version", "model") if (value := getattr(arm, key))}


def _arm(entry: Any, where: str) -> Arm:
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"{where} must be a mapping, as {{name: '1', share: 90}}")
    _known(entry, ARM, where)
    if "name" not in entry:
        raise InvalidInput(f"{where}: 'name' is missing")
    mirror = entry.get("mirror", False)
    if not isinstance(mirror, bool):
        raise InvalidInput(f"{where}: 'mirror' must be true or false, not {mirror!r}")
    name, version, model = (_text(entry.get(key, ""), f"{where}: '{key}'") for key in ("name", "version", "model"))
    share, sample = (
        _number(entry.get(key, usual), f"{where}: '{key}'") for key, usual in (("share", 0), ("sample", 1))
    )
    return Arm(name, share, version, model, mirror, sample)


def _ranges(given: Any, where: str) -> dict[str, tuple[Range, ...]]:
    cure = "leave it out and it is made"
    try:
        ranges = {str(name): tuple((start, end) for start, end in own) for name, own in given.items()}
    except (AttributeError, TypeError, ValueError):
        raise InvalidInput(f"{where}: 'ranges' must map arms to lists of [from, to]; {cure}") from None
    if not all(type(edge) is int for own in ranges.values() for piece in own for edge in piece):
        raise InvalidInput(f"{where}: 'ranges' must hold whole numbers; {cure}")
    return ranges


def _known(given: Mapping[str, Any], fields: Sequence[str], where: str) -> None:
    for key in given:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(fields)}"
            raise InvalidInput(f"{where}: unknown field '{key}'; {hint}")


def _text(value: Any, where: str) -> str:
    """Versions are often written as numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidInput(f"{where} must be text, not {value!r}")
    return str(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{where} must be a number, not {value!r}")
    return float(value)
