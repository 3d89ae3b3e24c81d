"""The last requests that failed, were slow or asked to be explained."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["MOST", "Recent", "Told"]

Told = dict[str, Any]  # an inferloom.v1.Explanation as JSON has it

MOST = 200
FAILED = 120  # of them: requests that are merely slow never push out all that failed


class Recent:
    """Bounded; what is oldest goes first."""

    def __init__(self, most: int = MOST, failed: int = FAILED) -> None:
        self._failed: deque[Told] = deque(maxlen=failed)
        self._others: deque[Told] = deque(maxlen=most - failed)

    def __len__(self) -> int:
        return len(self._failed) + len(self._others)

    def add(self, told: Told) -> None:
        (self._failed if told["kind"] == "failed" else self._others).append(told)

    def find(self, request_id: str) -> Told | None:
        """The newest with this id, or trace id."""
        return next((told for told in self.list() if request_id in (told["request_id"], told.get("trace_id"))), None)

    def list(self, limit: int = 0) -> list[Told]:
        """Newest first; `limit` 0: all."""
        found = sorted(
            (*reversed(self._failed), *reversed(self._others)), key=lambda told: float(told["time"]), reverse=True
        )
        return found[:limit] if limit else found
