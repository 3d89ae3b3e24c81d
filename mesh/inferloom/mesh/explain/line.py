"""An explanation as one line of JSON that fits into trailing metadata."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from inferloom.mesh.explain.recent import Told

__all__ = ["ROOM", "heard", "line"]

ROOM = 4096  # bytes: gRPC's metadata has room for 8 KiB, and the error's own message must fit as well
SHORT = 80  # characters of a text where room is wanting
FEW = 6
FIRST = ("request_id", "model", "code", "ms", "replica", "kind")


def line(told: Told, room: int = ROOM) -> str:
    """ASCII JSON of at most `room` bytes. What does not fit is left out, what matters least first, and `cut` says so."""
    text = _dumped(told)
    if len(text) <= room:
        return text
    short: Any = json.loads(text)
    short["cut"] = True
    for reduce in _REDUCTIONS:
        reduce(short)
        text = _dumped(short)
        if len(text) <= room:
            return text
    return _dumped({key: _shortened(short[key]) for key in FIRST if key in short} | {"cut": True})


def heard(text: str) -> Told | None:
    """What a host told; None where it is no object: a replica may send what it likes."""
    if not text or len(text) > 2 * ROOM:
        return None
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _dumped(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= SHORT else value[: SHORT - 3] + "..."
    if isinstance(value, dict):
        return {key: _shortened(each) for key, each in value.items()}
    return [_shortened(each) for each in value] if isinstance(value, list) else value


def _shorten(told: Told) -> None:
    told.update(_shortened(told))


def _keep_few(key: str) -> Callable[[Told], None]:
    def reduce(told: Told) -> None:
        for each in _within(told):
            if key in each:
                each[key] = each[key][:FEW]

    return reduce


def _drop(key: str) -> Callable[[Told], None]:
    def reduce(told: Told) -> None:
        for each in _within(told):
            each.pop(key, None)

    return reduce


def _drop_from_steps(told: Told) -> None:
    for each in _within(told):
        for step in each.get("steps", ()):
            step.pop("attempts", None)
            step.pop("inside", None)


def _within(told: Told) -> list[Told]:
    found, inner = [told], told.get("inside")
    return found + _within(inner) if isinstance(inner, dict) else found


_REDUCTIONS: tuple[Callable[[Told], None], ...] = (
    _shorten,
    _keep_few("passed_over"),
    _drop_from_steps,
    _drop("passed_over"),
    _keep_few("attempts"),
    _drop("notes"),
    _keep_few("steps"),
    _drop("steps"),
    _drop("inside"),
)
