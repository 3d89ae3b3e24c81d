"""A replica's record: its JSON in the registry and on disk.

Records outlive versions of inferloom on both sides, so unknown fields are ignored and missing ones take their defaults;
only a record that cannot be a replica is refused. (Documents are the other way round: they are checked when applied.)
The registry's verdict, `healthy`, is not part of what a replica says of itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

from inferloom.mesh.catalog import Kind, Repeat, Replica, State

__all__ = ["RecordError", "decode", "encode", "from_fields", "to_fields"]

VERDICT = "healthy"
NAMES = tuple(field.name for field in fields(Replica) if field.name != VERDICT)
REQUIRED = ("model", "id", "host", "port")
TYPES: dict[str, type] = {
    "port": int,
    "http_port": int,
    "app_port": int,
    "pings": bool,
    "generation": int,
    "versions": list,
    "weight": float,
}


class RecordError(ValueError):
    """These bytes are no record that this version understands."""


def to_fields(replica: Replica) -> dict[str, Any]:
    """The JSON-able fields of a record."""
    found: dict[str, Any] = {name: getattr(replica, name) for name in NAMES}
    found |= {"state": replica.state.value, "kind": replica.kind.value, "repeat": replica.repeat.value}
    found["versions"] = list(replica.versions)
    return found


def from_fields(found: object, *, healthy: bool = True) -> Replica:
    """The replica with these fields.

    Raises:
        RecordError: a field is missing, or has a type or value that this version does not understand.
    """
    if not isinstance(found, dict):
        raise RecordError(f"a record is an object, not {type(found).__name__}")
    if missing := [name for name in REQUIRED if name not in found]:
        raise RecordError(f"no {', '.join(missing)}")
    known = {name: _checked(name, found[name]) for name in NAMES if name in found}
    return Replica(**known, healthy=healthy)


def encode(replica: Replica) -> bytes:
    """The record as UTF-8 JSON; the same replica always gives the same bytes."""
    return json.dumps(to_fields(replica), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes) -> Replica:
    """The replica in a record.

    Raises:
        RecordError: see `from_fields`; or it is no JSON.
    """
    try:
        found = json.loads(data)
    except ValueError as error:
        raise RecordError(f"no JSON: {error}") from error
    return from_fields(found)


def _checked(name: str, value: Any) -> Any:
    wanted = TYPES.get(name, str)
    fits = isinstance(value, (int, float) if wanted is float else wanted)
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise RecordError(f"{name} is {value!r:.80}")
    if name == "state":
        return _state(value)
    if name == "kind":
        return Kind(value) if value in set(Kind) else Kind.MODEL
    if name == "repeat":
        return Repeat(value) if value in set(Repeat) else Repeat.NEVER  # a newer word: be careful
    if name == "versions":
        if not all(isinstance(version, str) for version in value):
            raise RecordError(f"versions are {value!r:.80}")
        return tuple(value)
    if name == "weight":
        if not 0 < value < math.inf:
            raise RecordError(f"weight is {value}")
        return float(value)
    return value


def _state(value: str) -> State:
    try:
        return State(value)
    except ValueError as error:
        raise RecordError(f"state is {value!r:.80}") from error
