"""What a JSON Schema says about a value, as a comment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["comment_of"]

_WORDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "matching {}",
    "format": "a {}",
}
_LONGEST = 200  # characters of a default or of a list of values


def comment_of(schema: Mapping[str, Any], *, absent: bool = False) -> tuple[str, ...]:
    """Its description, and what it must be within.

    Args:
        absent: it need not be given.
    """
    lines = []
    if schema.get("description"):
        lines.append(str(schema["description"]))
    said = [words.format(schema[key]) for key, words in _WORDS.items() if key in schema]
    if "minItems" in schema and schema.get("minItems") == schema.get("maxItems"):
        said = [each for each in said if not each.endswith("entries")] + [f"{schema['minItems']} entries"]
    if isinstance(schema.get("enum"), list):
        said.insert(0, f"one of {', '.join(map(str, schema['enum']))}"[:_LONGEST])
    if absent:
        default = schema.get("default")
        said.append("may be absent" + ("" if default is None else f": then {json.dumps(default)}")[:_LONGEST])
    if said:
        text = ", ".join(said)
        lines.append(f"{text[:1].upper()}{text[1:]}.")
    return tuple(lines)
