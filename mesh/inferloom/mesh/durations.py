"""How long, as text in a document: "500ms", "2s", "1.5m", "1h"."""

from __future__ import annotations

import re
from decimal import Decimal

from inferloom.mesh.errors import InvalidInput

__all__ = ["duration_text", "seconds_of"]

_DURATION = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,40})?)\s*(ms|s|m|h)", re.ASCII)
_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
MOST = 1e9  # seconds


def seconds_of(text: str) -> float:
    """Seconds, 0 among them. InvalidInput where the text is no duration."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text[:60]!r} is no duration; write a number and ms, s, m or h: 50ms, 2s, 1m")
    seconds = float(Decimal(match[1]) * _UNITS[match[2]])
    if seconds > MOST:
        raise InvalidInput(f"{text[:60]!r} is more than {MOST:.0f} seconds")
    return seconds


def duration_text(seconds: float) -> str:
    """The text that `seconds_of` reads as exactly this number; milliseconds below a second."""
    exact = Decimal(repr(float(seconds)))
    value, unit = (exact * 1000, "ms") if 0 < exact < 1 else (exact, "s")
    plain = format(value, "f")
    return (plain.rstrip("0").rstrip(".") if "." in plain else plain) + unit
