"""From a JSON Schema, a value that it accepts: for lines to paste, and for /docs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["example_of"]

DEEPEST = 8  # levels; a schema may refer to itself


def example_of(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """The schema's own example or default where it has one, else the smallest value of its type.

    Of an object the required fields alone; where none is required, all.
    """
    known = definitions if definitions is not None else schema.get("$defs", {})
    if "$ref" in schema:
        target = str(schema["$ref"]).rpartition("/")[2]
        return example_of(known.get(target, {}), known, depth + 1) if depth < DEEPEST else None
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example_of(schema[key][0], known, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return _object(schema, known, depth)
    if kind == "array":
        return _array(schema, known, depth)
    if kind == "string":
        text = "aGVsbG8=" if _is_base64(schema) else "hello"
        return text[: schema["maxLength"]] if "maxLength" in schema else text
    if kind in ("integer", "number"):
        return schema.get("minimum", 0 if kind == "integer" else 0.0)
    return {"boolean": False, "null": None}.get(str(kind))


def _object(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> dict[str, Any]:
    fields = schema.get("properties", {})
    wanted = schema.get("required") or (list(fields) if depth == 0 else [])
    return {name: example_of(fields.get(name, {}), known, depth + 1) for name in wanted}


def _array(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> list[Any]:
    if "prefixItems" in schema:
        return [example_of(item, known, depth + 1) for item in schema["prefixItems"]]
    least = int(schema.get("minItems", 0))
    if depth >= DEEPEST and not least:
        return []
    count = max(least, min(1, int(schema.get("maxItems", 1))))
    return [example_of(schema.get("items", {}), known, depth + 1)] * count


def _is_base64(schema: Mapping[str, Any]) -> bool:
    return schema.get("contentEncoding") in ("base64", "base64url") or schema.get("format") in ("binary", "base64url")
