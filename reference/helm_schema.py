"""What values.schema.json says a value may be, in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference.markdown import code

__all__ = ["Schema"]

Node = Mapping[str, Any]


class Schema:
    """A schema file."""

    def __init__(self, path: Path) -> None:
        self._root: Node = json.loads(path.read_text())

    def at(self, path: tuple[str, ...]) -> Node:
        """The node of a path of keys. Raises KeyError where it has none."""
        node = self._root
        for key in path:
            node = self._resolved(node)["properties"][key]
        return node

    def type(self, path: tuple[str, ...]) -> str:
        """As "whole number from 1" or "mapping: name, key"."""
        return self._words(self.at(path))

    def comment(self, path: tuple[str, ...]) -> str:
        """Its `$comment`, or that of what it refers to; "" where there is none."""
        node = self.at(path)
        return str(node.get("$comment") or self._resolved(node).get("$comment", ""))

    def _resolved(self, node: Node) -> Node:
        while "$ref" in node:
            found: Node = self._root
            for part in str(node["$ref"]).removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def _words(self, node: Node) -> str:
        node = self._resolved(node)
        if "enum" in node:
            return ", ".join(code(each) if each != "" else "empty" for each in node["enum"])
        if "const" in node:
            return code(str(node["const"]).lower())
        if options := node.get("anyOf") or node.get("oneOf"):
            return " or ".join(self._words(each) for each in options)
        kind = node.get("type", "")
        if kind == "array":
            return f"list of {self._words(node.get('items', {}))}"
        if kind == "object":
            keys = ", ".join(map(code, node.get("properties", ())))
            return f"mapping: {keys}" if keys else "mapping"
        if kind in ("integer", "number"):
            return ("whole number" if kind == "integer" else "number") + _bounds(node)
        return {"boolean": "true or false", "string": "text"}.get(kind, "any")


def _bounds(node: Node) -> str:
    least, above, most = (node.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    begin = f" from {least}" if least is not None else f" above {above}" if above is not None else ""
    return begin + (f" to {most}" if most is not None else "")
