"""Names of models, as every part of the mesh accepts them."""

from __future__ import annotations

import re

from inferloom.mesh.errors import InvalidInput

__all__ = ["NAME", "check_name", "is_name"]

NAME = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,128}", re.ASCII)  # dots alone would be a folder above


def is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def check_name(name: str, what: str = "model name") -> str:
    """The name itself, or InvalidInput that says what a name may be."""
    if not is_name(name):
        shown = name if len(name) <= 60 else name[:57] + "..."
        raise InvalidInput(f"{shown!r} is no {what}: 1 to 128 letters, digits, '.', '_' or '-', and not dots alone")
    return name
