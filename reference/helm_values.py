"""values.yaml with the comments that YAML's own parser drops: those on a key's line, and those above it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

__all__ = ["Value", "read"]


@dataclass(frozen=True, slots=True)
class Value:
    """A key. `inner` has what is in its block; a value that is written on one line is one value, its parts are not asked."""

    path: tuple[str, ...]
    default: str  # as it is written; "" of a block
    beside: str  # the comment on its line
    above: tuple[str, ...]  # the lines of the comment above it, without their marks
    inner: tuple[Value, ...]

    def leaves(self) -> Iterator[Value]:
        """What is in its block; itself where it has none, or a comment of its own below the top."""
        if not self.inner or (len(self.path) > 1 and (self.beside or self.above)):
            yield self
        for each in self.inner:
            yield from each.leaves()


def read(path: Path) -> tuple[Value, ...]:
    """The keys of a file, in its order."""
    text = path.read_text()
    return tuple(_values(yaml.compose(text, yaml.SafeLoader), text.splitlines(), ()))


def _values(mapping: yaml.Node | None, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    assert isinstance(mapping, yaml.MappingNode)
    for key, value in mapping.value:
        own = (*path, str(key.value))
        line = key.start_mark.line
        block = value.start_mark.line > line
        rest = lines[line][key.end_mark.column :] if block else lines[value.end_mark.line][value.end_mark.column :]
        default = "" if block else lines[line][value.start_mark.column : value.end_mark.column]
        inner = tuple(_values(value, lines, own)) if block else ()
        yield Value(own, default, rest.partition("# ")[2].strip(), _above(lines, line, key.start_mark.column), inner)


def _above(lines: list[str], line: int, column: int) -> tuple[str, ...]:
    found: list[str] = []
    mark = " " * column + "#"
    while line and lines[line - 1].startswith(mark):
        line -= 1
        found.insert(0, lines[line].removeprefix(mark).removeprefix(" "))
    return tuple(found)
