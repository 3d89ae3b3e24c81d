"""What single JSON Schemas are in a proto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["integer", "merged", "tagged_bytes"]

_INT32, _UINT32, _INT64 = (-(2**31), 2**31 - 1), (0, 2**32 - 1), (-(2**63), 2**63 - 1)
_CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})  # JSON has no numbers for them


def integer(schema: Mapping[str, Any]) -> str:
    """The smallest type that holds what the schema allows; int64 where it says nothing."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int) and isinstance(most, int):
        for name, (low, high) in (("int32", _INT32), ("uint32", _UINT32)):
            if low <= least and most <= high:
                return name
    return "uint64" if isinstance(least, int) and least >= 0 and isinstance(most, int) and most > _INT64[1] else "int64"


def merged(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """An anyOf as the one schema it means, as far as it means one; and whether it may be null."""
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema, False
    rest = [each for each in options if each.get("type") != "null"]
    nullable = len(rest) < len(options)
    numbers = [each for each in rest if set(each.get("enum", ())) != _CONSTANTS]
    beside = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(numbers) == 1:
        return {**beside, **numbers[0]}, nullable
    return {**beside, "anyOf": rest}, nullable


def tagged_bytes(schema: Mapping[str, Any]) -> bool:
    """Whether it is text or {"base64": "..."}: how pipelines take BYTES."""
    options = schema.get("anyOf")
    if not isinstance(options, list) or len(options) != 2:
        return False
    text, tagged = options
    return text == {"type": "string"} and list(tagged.get("properties", ())) == ["base64"]
