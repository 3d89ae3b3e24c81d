"""Whether a command printed what its page shows."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["agrees", "masked"]

ANY = "..."
NUMBER = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b|\d+(?:[.,:]\d+)*(?:e[+-]?\d+)?")


def masked(text: str) -> list[str]:
    """Its lines, without empty ones: numbers and hexadecimal ids are `#`, runs of blanks and of rules are one."""
    lines = []
    for line in text.splitlines():
        plain = NUMBER.sub("#", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line))
        plain = re.sub(r"([─━═])\1+", r"\1", re.sub(r"\s+", " ", plain)).strip()
        if plain:
            lines.append(plain)
    return lines


def agrees(shown: str, printed: str, *, more: bool = False) -> str:
    """ "" where it does, else the first shown line that was not printed.

    A line `...` stands for any lines, and `...` within a line for any text.

    Args:
        more: something may follow.
    """
    lines = masked(printed)
    parts = _split([*masked(shown), ANY] if more else masked(shown))
    at = 0  # in lines
    for index, part in enumerate(parts):
        first, last = index == 0, index == len(parts) - 1
        earliest = len(lines) - len(part) if last and not first else at
        latest = at if first else len(lines)
        if not part:
            if last and first and lines:
                return "nothing at all"
            continue
        best = 0  # of the part's lines, at the place that agrees most
        for place in range(max(at, earliest), latest + 1):
            best = max(best, agreeing := _agreeing(part, lines[place:]))
            if agreeing == len(part):
                at = place + len(part)
                break
        else:
            return part[best] if best < len(part) else part[0]
        if last and at < len(lines):
            return f"nothing after {part[-1]!r}"
    return ""


def _split(wanted: Sequence[str]) -> list[list[str]]:
    """The lines between those that stand for any."""
    parts: list[list[str]] = [[]]
    for line in wanted:
        if line == ANY:
            parts.append([])
        else:
            parts[-1].append(line)
    return parts


def _agreeing(wanted: Sequence[str], lines: Sequence[str]) -> int:
    """How many of the first ones do."""
    for number, (want, line) in enumerate(zip(wanted, lines, strict=False)):
        if not re.fullmatch(".*".join(re.escape(part) for part in want.split(ANY)), line):
            return number
    return min(len(wanted), len(lines))
