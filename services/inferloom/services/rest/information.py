"""What servers and models say of themselves, as Triton's JSON: the messages' own names, numbers as numbers."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

__all__ = ["plain"]

_ENUM = FieldDescriptor.TYPE_ENUM
_BYTES = FieldDescriptor.TYPE_BYTES


def plain(message: Message) -> dict[str, Any]:
    """Every field, those without a value included, save messages that are not there.

    Not protobuf's own JSON: that writes int64 as strings, and Triton's clients take numbers.
    """
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            of = kind.fields_by_name["value"]
            found[field.name] = {str(key): _one(of, value[key]) for key in value}
        elif field.is_repeated:
            found[field.name] = [_one(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _one(field, value)
    return found


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return plain(value)
    if field.type == _ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return base64.b64encode(value).decode() if field.type == _BYTES else value
