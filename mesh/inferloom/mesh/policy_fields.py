"""A policy as a document's spec: every field by its path, read strictly.

A path is as in the document: "retry.budget.ratio".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inferloom.mesh.durations import duration_text, seconds_of
from inferloom.mesh.errors import InvalidInput

__all__ = ["FIELDS", "Balancing", "Field", "Form", "Locality", "Value", "nested", "read_fields"]

Value = float | int | bool | str
SHORTEST = 0.001  # seconds of a duration that is not 0: Envoy counts in milliseconds, and takes less for none
MOST = 1_000_000  # of what is counted: above that, a slip of the keyboard


class Balancing(StrEnum):
    """How a replica is chosen among those that may be used."""

    AUTO = "auto"  # the data plane's best: power of two choices over peak EWMA; Envoy: least request
    LEAST_REQUEST = "least_request"  # power of two choices over requests in flight
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


class Locality(StrEnum):
    """Whether replicas in the data plane's own zone come first."""

    ANY = "any"
    PREFER = "prefer"  # those of the same zone while one of them may be used


class Form(StrEnum):
    """What a field holds, and how it is written."""

    DURATION = "a duration as text, as 500ms or 2s"
    COUNT = "a whole number"
    NUMBER = "a number"
    SWITCH = "true or false"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Field:
    """One of the document."""

    path: str
    form: Form
    part: str  # of TrafficPolicy: "" itself, "retry", "health" or "objective"
    name: str  # of the attribute
    options: tuple[str, ...] = ()  # where only these are right


def _field(path: str, form: Form, part: str = "", name: str = "", options: tuple[str, ...] = ()) -> Field:
    return Field(path, form, part, name or path.rpartition(".")[2], options)


FIELDS: Mapping[str, Field] = {
    field.path: field
    for field in (
        _field("timeout", Form.DURATION),
        _field("longest", Form.DURATION),
        _field("attempt_timeout", Form.DURATION),
        _field("stream_idle", Form.DURATION),
        _field("idempotent", Form.SWITCH),
        _field("retry.attempts", Form.COUNT, "retry"),
        _field("retry.budget.ratio", Form.NUMBER, "retry", "budget_ratio"),
        _field("retry.budget.floor", Form.NUMBER, "retry", "budget_floor"),
        _field("retry.budget.window", Form.DURATION, "retry", "budget_window"),
        _field("retry.backoff", Form.DURATION, "retry"),
        _field("retry.jitter", Form.NUMBER, "retry"),
        _field("health.consecutive", Form.COUNT, "health"),
        _field("health.rate", Form.NUMBER, "health"),
        _field("health.rate_requests", Form.COUNT, "health"),
        _field("health.window", Form.DURATION, "health"),
        _field("health.base", Form.DURATION, "health"),
        _field("health.longest", Form.DURATION, "health"),
        _field("health.jitter", Form.NUMBER, "health"),
        _field("health.forget", Form.DURATION, "health"),
        _field("balancing", Form.TEXT, options=tuple(Balancing)),
        _field("affinity", Form.TEXT),
        _field("locality", Form.TEXT, options=tuple(Locality)),
        _field("concurrency", Form.COUNT),
        _field("slow_start", Form.DURATION),
        _field("objective.availability", Form.NUMBER, "objective"),
        _field("objective.latency", Form.DURATION, "objective"),
        _field("objective.within", Form.NUMBER, "objective"),
    )
}
_GROUPS = {path.rpartition(".")[0] for path in FIELDS} - {""}
_GROUPS |= {group.partition(".")[0] for group in _GROUPS}


def read_fields(spec: Mapping[str, Any], where: str) -> dict[str, Value]:
    """What a spec says in so many words: values by path, durations in seconds.

    Args:
        where: the policy, as messages begin.

    Raises:
        InvalidInput: names the path and what would be right. Bounds are checked by the policy itself.
    """
    found: dict[str, Value] = {}
    _read(spec, "", where, found)
    return {path: found[path] for path in FIELDS if path in found}


def nested(values: Mapping[str, Value]) -> dict[str, Any]:
    """The spec that says these values, as it is stored."""
    spec: dict[str, Any] = {}
    for path, value in values.items():
        *groups, name = path.split(".")
        inner = spec
        for group in groups:
            inner = inner.setdefault(group, {})
        form = FIELDS[path].form
        inner[name] = (
            duration_text(float(value)) if form is Form.DURATION else str(value) if form is Form.TEXT else value
        )
    return spec


def _read(given: Any, prefix: str, where: str, found: dict[str, Value]) -> None:
    if not isinstance(given, Mapping):
        what = f"{prefix.rstrip('.')} must be a mapping" if prefix else "its spec must be a mapping"
        raise InvalidInput(f"{where}: {what}, as {_example(prefix)}")
    known = sorted({path.removeprefix(prefix).partition(".")[0] for path in FIELDS if path.startswith(prefix)})
    for key, value in given.items():
        path = f"{prefix}{key}"
        if str(key) not in known:
            raise InvalidInput(f"{where}: unknown field '{path}'; {_hint(str(key), prefix, known)}")
        if path in _GROUPS:
            _read(value, f"{path}.", where, found)
        else:
            found[path] = _value(FIELDS[path], value, where)


def _hint(key: str, prefix: str, known: list[str]) -> str:
    leaves = {path.rpartition(".")[2]: path for path in FIELDS}
    if not prefix and key in leaves:
        return f"did you mean '{leaves[key]}'?"
    if near := difflib.get_close_matches(key, known, 1, 0.6):
        return f"did you mean '{prefix}{near[0]}'?"
    elsewhere = difflib.get_close_matches(key, leaves, 1, 0.7)
    return f"did you mean '{leaves[elsewhere[0]]}'?" if elsewhere else f"there are {', '.join(known)}"


def _example(prefix: str) -> str:
    examples = {
        "": "{timeout: 2s}",
        "retry.": "{attempts: 2}",
        "health.": "{consecutive: 3}",
        "objective.": "{availability: 99.9}",
    }
    return examples.get(prefix, "{ratio: 0.1}")


def _value(field: Field, value: Any, where: str) -> Value:
    wrong = InvalidInput(f"{where}: {field.path} must be {field.form}, not {str(value)[:60]!r}")
    if field.form is Form.SWITCH:
        if not isinstance(value, bool):
            raise wrong
        return value
    if isinstance(value, bool):
        raise wrong
    if field.form is Form.COUNT:
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON has one kind of number
        if not isinstance(value, int):
            raise wrong
        if not 0 <= value <= MOST:
            raise InvalidInput(f"{where}: {field.path} must be 0 to {MOST}, not {value}")
        return value
    if field.form is Form.NUMBER:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise wrong
        return float(value)
    if not isinstance(value, str):
        raise wrong
    if field.form is Form.DURATION:
        try:
            seconds = seconds_of(value)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {field.path}: {error}") from None
        if 0 < seconds < SHORTEST:
            raise InvalidInput(f"{where}: {field.path} must be 1ms or more, not {value[:60]!r}")
        return seconds
    if field.options and value not in field.options:
        near = difflib.get_close_matches(value, field.options, 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise InvalidInput(f"{where}: {field.path} must be {' or '.join(field.options)}, not {value[:60]!r}{hint}")
    return value
