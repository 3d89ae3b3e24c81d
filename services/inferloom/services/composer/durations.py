"""How long, as text in a document."""

from __future__ import annotations

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.references import seconds

__all__ = ["duration"]


def duration(value: float | str) -> str:
    """Seconds, or a text like "50ms", as the text that is stored. InvalidInput where it is neither."""
    if isinstance(value, str):
        seconds(value)
        return value.replace(" ", "")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-9 <= value < 1e9:
        raise InvalidInput(f'{value!r} is no duration; write seconds above 0, or a text like "50ms", "2s", "1m"')
    return f"{_plain(value)}s" if value >= 1 else f"{_plain(value * 1000)}ms"


def _plain(value: float) -> str:
    """Without an exponent, to a nanosecond."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
