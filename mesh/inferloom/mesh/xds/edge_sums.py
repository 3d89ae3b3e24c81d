"""Counters of several parts added up, so that the sum never falls."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

__all__ = ["Sums"]

Key = TypeVar("Key", bound=Hashable)


class Sums(Generic[Key]):
    """Of one edge; parts are its clusters, which come and go with a model's versions.

    Attributes:
        values: what each key's parts have counted, those that are gone among them. A key without any part is dropped.
    """

    def __init__(self) -> None:
        self.values: Mapping[Key, int] = {}
        self._parts: Mapping[tuple[Key, str], int] = {}

    def read(self, parts: Mapping[tuple[Key, str], int], *, anew: bool) -> None:
        """Take what each key's parts say now. `anew`: they have all begun with nothing since the last time."""
        sums = {key: self.values.get(key, 0) for key, _ in parts}
        for (key, part), count in parts.items():
            known = 0 if anew else self._parts.get((key, part), 0)
            sums[key] += count - known if count >= known else count  # fewer: this cluster is a new one
        self.values, self._parts = sums, dict(parts)
