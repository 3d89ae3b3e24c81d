"""One fault of a request, and where it is."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Violation"]


class Violation(NamedTuple):
    """One fault of a request, as google.rpc.BadRequest has it."""

    field: str  # its path: "rows[0].sepal_length"; "": the whole
    description: str
