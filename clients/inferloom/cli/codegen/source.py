"""Where faces come from: what they are made of before they have numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inferloom.services.proto.face import Face
from inferloom.services.proto.lock import Lock

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """One name to write a proto for."""

    name: str
    face: Callable[[str, frozenset[str]], Face]  # by the part of its package ("": not known) and those of others
    served: Lock | None = None  # the numbers that a mesh serves it with
