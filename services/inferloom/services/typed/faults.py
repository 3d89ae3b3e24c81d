"""What pydantic found wrong, as one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from inferloom.clients.near import nearest
from inferloom.mesh.errors import InvalidInput, Violation
from inferloom.services.typed.arrays import MISFIT

__all__ = ["invalid", "meant", "shown", "told"]

MOST = 5  # faults told at once
LONGEST = 2000  # characters of a message: a status has room for 8 KiB
_UNKNOWN = frozenset({"extra_forbidden", "unexpected_keyword_argument"})
_MISSING = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})


def invalid(error: ValidationError, known: Sequence[str] = (), where: str = "") -> InvalidInput:
    """`items[2].price: Input should be a valid number, got 'abc'; ...`, at most five of them.

    Args:
        known: the names at the top, for the near one where a name is unknown.
        where: what takes them.
    """
    faults = error.errors(include_url=False)
    return told([_one(fault, known, where) for fault in faults[:MOST]], len(faults))


def told(violations: Sequence[Violation], count: int = 0) -> InvalidInput:
    """`field: description; ...`, at most five of them.

    Args:
        count: how many there are in all, where not all were looked at.
    """
    parts = [f"{each.field}: {each.description}" if each.field else each.description for each in violations[:MOST]]
    more = max(count, len(violations)) - MOST
    if more > 0:
        parts.append(f"and {more} more")
    message = "; ".join(parts)
    return InvalidInput(message if len(message) <= LONGEST else message[: LONGEST - 3] + "...", violations[:MOST])


def shown(name: str) -> str:
    """A name that a caller chose, fit for one line of a message."""
    text = name if name.isprintable() else repr(name)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def meant(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'png'?)", or nothing where no known name looks like it."""
    near = nearest(name, known)
    return f" (did you mean '{near}'?)" if near else ""


def _one(fault: Any, known: Sequence[str], where: str) -> Violation:
    kind, place = fault["type"], _path(fault["loc"])
    if kind == "json_invalid":
        return Violation("", f"the body is no JSON: {fault['ctx']['error']}")
    if kind in _UNKNOWN:
        if len(fault["loc"]) > 1 or not where:
            return Violation(place, "is not known here")
        takes = ", ".join(known) or "nothing"
        return Violation(place, f"is not known{meant(str(fault['loc'][0]), known)}; {where} takes {takes}")
    if kind in _MISSING:
        return Violation(place, "is missing")
    if kind == MISFIT:
        return Violation(f"{place}{fault['ctx']['path']}", fault["ctx"]["what"])
    if not place:
        return Violation("", f"the body: {fault['msg']}{_got(fault['input'])}")
    return Violation(place, f"{fault['msg']}{_got(fault['input'])}")


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text


def _got(value: Any) -> str:
    if value is None:
        return ", got null"
    if not isinstance(value, (str, int, float)):
        return ""
    text = repr(value)
    return f", got {text if len(text) <= 40 else text[:37] + '...'}"
