"""Names that look like one that somebody mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]

CUTOFF = 0.6  # difflib's own; at 0.5 'decode' brings up 'chosen'
LONGEST = 128  # characters compared: a caller's name may be of any length


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like it, capitals aside; "" where none does."""
    folded = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower()[:LONGEST], folded, 1, CUTOFF)
    return folded[found[0]] if found else ""
