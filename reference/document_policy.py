"""The table of a policy's fields: paths and forms from policy_fields.py, defaults from policy.py, words from policy.proto."""

from __future__ import annotations

from enum import Enum

from inferloom.mesh.durations import duration_text
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.policy_fields import FIELDS, Field, Form
from reference.markdown import Undescribed, code, described, sentence, table
from reference.meanings import POLICY
from reference.protos import File, files_of

__all__ = ["table_of"]

ROOT = "TrafficPolicy"
WORDS = {
    Form.DURATION: "duration",
    Form.COUNT: "whole number",
    Form.NUMBER: "number",
    Form.SWITCH: "true or false",
    Form.TEXT: "text",
}
UNSET = "unset: "  # how policy.proto begins what holds where a field is not set and has no default of its own


def table_of() -> str:
    """Raises Undescribed."""
    file = files_of()["policy.proto"]
    if gone := POLICY.keys() - FIELDS.keys():
        raise Undescribed(f"a policy has no {', '.join(sorted(gone))}")
    return table(("field", "type", "default", "meaning"), [_row(path, field, file) for path, field in FIELDS.items()])


def _row(path: str, field: Field, file: File) -> tuple[str, ...]:
    meaning, _, default = described(POLICY.get(path) or _comment(path, file), path).partition(f"; {UNSET}")
    if not default:
        default = code(_default(field))
        meaning = meaning.removesuffix(f"; {default.strip('`')}")
    kind = ", ".join(map(code, field.options)) if field.options else WORDS[field.form]
    return code(path), kind, default.rstrip("."), sentence(meaning)


def _comment(path: str, file: File) -> str:
    """Beside the field of the message that the path ends in."""
    message = file.message(ROOT)
    *groups, name = path.split(".")
    for group in groups:
        inner = next(entry.type for entry in message.fields if entry.name == group)
        message = file.message(inner)
    return next(entry.text for entry in message.fields if entry.name == name)


def _default(field: Field) -> str:
    policy = TrafficPolicy()
    value = getattr(getattr(policy, field.part) if field.part else policy, field.name)
    if value is None or value == "":
        return ""
    if field.form is Form.DURATION:
        return duration_text(value)
    if isinstance(value, Enum):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
