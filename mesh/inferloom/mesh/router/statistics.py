"""Triton's model statistics of several replicas as one: counts and times added, the last inference the latest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from inferloom.mesh.oip import pb

__all__ = ["summed"]

_LATEST = frozenset({"last_inference"})
_KEYS = frozenset({"batch_size", "name", "version"})


def summed(answers: Iterable[Any]) -> Any:
    """One ModelStatisticsResponse, a row per model and version."""
    rows: dict[tuple[str, str], Any] = {}
    for answer in answers:
        for row in answer.model_stats:
            known = rows.get((row.name, row.version))
            if known is None:
                rows[row.name, row.version] = row
            else:
                _add(known, row)
    return pb.ModelStatisticsResponse(model_stats=[rows[key] for key in sorted(rows)])


def _add(into: Message, other: Message) -> None:
    """Add field by field, so that a statistic that a newer Triton adds is summed as well."""
    for field, value in other.ListFields():
        if field.name in _KEYS:
            continue
        if field.message_type is None:
            before = getattr(into, field.name)
            setattr(into, field.name, max(before, value) if field.name in _LATEST else before + value)
        elif field.message_type.GetOptions().map_entry:
            mapping = getattr(into, field.name)
            for key in value:
                _add(mapping[key], value[key])
        elif field.is_repeated:
            _add_rows(getattr(into, field.name), value, field)
        else:
            _add(getattr(into, field.name), value)


def _add_rows(into: Any, rows: Iterable[Any], field: FieldDescriptor) -> None:
    """Rows with a batch size are added to the row of the same one; others (memory per device) stand side by side."""
    assert field.message_type is not None
    if "batch_size" not in field.message_type.fields_by_name:
        into.extend(rows)
        return
    known = {row.batch_size: row for row in into}
    for row in rows:
        if row.batch_size in known:
            _add(known[row.batch_size], row)
        else:
            into.append(row)
