"""Where in the user's files something stands, for messages: `file:line`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["caller_file", "caller_place", "place_of"]

OURS = "inferloom."


def place_of(target: Callable[..., Any]) -> str:
    """Where a function or class is written; its name where Python does not know."""
    inner = inspect.unwrap(target)
    code = getattr(inner, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        line = inspect.getsourcelines(inner)[1]
        return f"{inspect.getsourcefile(inner)}:{line}"
    except (OSError, TypeError):  # made in a notebook's cell that is gone, or by exec
        return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', repr(inner))}"


def caller_place() -> str:
    """Where the first caller that is not inferloom's own code stands."""
    file, line = _caller()
    return f"{file}:{line}"


def caller_file() -> Path:
    return Path(_caller()[0])


def _caller() -> tuple[str, int]:
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(OURS):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
