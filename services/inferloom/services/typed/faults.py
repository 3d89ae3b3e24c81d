"""What pydantic found wrong, as one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from inferloom.mesh.errors import InvalidInput
from inferloom.services.typed.arrays import MISFIT

__all__ = ["invalid", "meant", "shown"]

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
    told = [_one(fault, known, where) for fault in faults[:MOST]]
    if len(faults) > MOST:
        told.append(f"and {len(faults) - MOST} more")
    message = "; ".join(told)
    return InvalidInput(message if len(message) <= LONGEST else message[: LONGEST - 3] + "...")


def shown(name: str) -> str:
    """A name that a caller chose, fit for one line of a message."""
    text = name if name.isprintable() else repr(name)[1:-1]
    return text if len(text) <= 60 else text[:57] + "..."


def meant(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'png'?)", or nothing where no known name looks like it."""
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower()[:128], folded, 1, 0.5)
    return f" (did you mean '{folded[near[0]]}'?)" if near else ""


def _one(fault: Any, known: Sequence[str], where: str) -> str:
    kind, place = fault["type"], _path(fault["loc"])
    if kind == "json_invalid":
        return f"the body is no JSON: {fault['ctx']['error']}"
    if kind in _UNKNOWN:
        if len(fault["loc"]) > 1 or not where:
            return f"{place}: is not known here"
        takes = ", ".join(known) or "nothing"
        return f"{place}: is not known{meant(str(fault['loc'][0]), known)}; {where} takes {takes}"
    if kind in _MISSING:
        return f"{place}: is missing"
    if kind == MISFIT:
        return f"{place}{fault['ctx']['path']}: {fault['ctx']['what']}"
    return f"{place or 'the body'}: {fault['msg']}{_got(fault['input'])}"


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
