"""Consul's answers as small tuples.

Ten thousand instances are 4.5 MB of JSON. Big answers are parsed in a thread, with a hook on each object: json's C
parser alone would hold the interpreter until it is through, the hook lets the event loop have its turn.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Entry", "Status", "parse"]

T = TypeVar("T")
BIG = 256 * 1024  # bytes


class Entry(NamedTuple):
    """A key and its value, still in base64."""

    key: str
    modified: int  # ModifyIndex, for check-and-set
    value: str


class Status(NamedTuple):
    """A check of a service's instance."""

    instance: str
    passing: bool  # not critical: Consul's warning still serves


def entry(found: dict[str, Any]) -> Entry | dict[str, Any]:
    if "ModifyIndex" not in found:
        return found
    return Entry(found["Key"], found["ModifyIndex"], found["Value"] or "")


def status(found: dict[str, Any]) -> Status | dict[str, Any]:
    if "CheckID" not in found:
        return found
    return Status(found["ServiceID"], found["Status"] != "critical")


async def parse(body: bytes, hook: Callable[[dict[str, Any]], T | dict[str, Any]], kind: type[T]) -> list[T]:
    """The list in a body, each object turned by the hook.

    Raises:
        ValueError: it is no such list.
    """
    found = _loads(body, hook) if len(body) < BIG else await asyncio.to_thread(_loads, body, hook)
    if not isinstance(found, list) or not all(isinstance(item, kind) for item in found):
        raise ValueError("not the list that was asked for")
    return found


def _loads(body: bytes, hook: Callable[[dict[str, Any]], object]) -> Any:
    try:
        return json.loads(body or b"[]", object_hook=hook)
    except (KeyError, TypeError) as error:
        raise ValueError(f"an object without {error}") from error
