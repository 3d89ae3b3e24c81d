"""Where in the user's file something was written: for messages, and for names of nodes."""

from __future__ import annotations

import ast
import linecache
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import FrameType

__all__ = ["Place", "here"]

_OURS = "inferloom.services."


@dataclass(frozen=True, slots=True)
class Place:
    file: str
    line: int
    text: str = ""  # the line of source
    assigned: str = ""  # the variable that the running call's value goes to: `votes` of `votes = vote(...)`

    def __str__(self) -> str:
        return f"{_short(self.file)}:{self.line}"


def here(file: str) -> Place:
    """The innermost line of `file` that is running now; where there is none, of the first file that is not inferloom's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        frame = frame.f_back
    outside, found = frame, frame
    while found is not None and found.f_code.co_filename != file:
        found = found.f_back
    chosen = found or outside
    if chosen is None:
        return Place(file, 0)
    name = chosen.f_code.co_filename
    text = linecache.getline(name, chosen.f_lineno).strip()
    return Place(name, chosen.f_lineno, text, _assigned(chosen) if chosen is outside else "")


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OURS)


def _assigned(frame: FrameType) -> str:
    position = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    lines = linecache.getlines(frame.f_code.co_filename)
    if position is None or not lines:
        return ""
    return _assignments("".join(lines)).get(position, "")


@lru_cache(maxsize=8)
def _assignments(source: str) -> dict[tuple[int | None, ...], str]:
    """The variable for each expression that is assigned to a single one, by (line, last line, column, last column)."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a file that has changed since it was imported
        return {}
    found: dict[tuple[int | None, ...], str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value = node.value
            found[value.lineno, value.end_lineno, value.col_offset, value.end_col_offset] = node.targets[0].id
    return found


def _short(file: str) -> str:
    relative = os.path.relpath(file) if os.path.isabs(file) else file
    return file if relative.startswith("..") else relative
