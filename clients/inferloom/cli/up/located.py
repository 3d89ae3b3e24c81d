"""YAML that remembers where each value stood, so that an error can name the file and the line."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferloom.mesh.errors import ConfigError

__all__ = ["Located", "read"]


@dataclass(frozen=True, slots=True)
class Located:
    """A YAML node with its place: `file:line`."""

    file: str
    node: yaml.Node

    @property
    def place(self) -> str:
        return f"{self.file}:{self.node.start_mark.line + 1}"

    def error(self, text: str) -> ConfigError:
        return ConfigError(f"{self.place}: {text}")

    def mapping(self, what: str, known: Sequence[str]) -> dict[str, Located]:
        """The entries of a mapping with these keys.

        Raises:
            ConfigError: it is no mapping, a key is unknown (names the nearest valid one) or stands twice.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping" + (f" with the keys {', '.join(known)}" if known else ""))
        entries: dict[str, Located] = {}
        for key_node, value_node in self.node.value:
            key = Located(self.file, key_node)
            name = str(key_node.value)
            if known and name not in known:
                near = difflib.get_close_matches(name, known, 1, 0.4)
                hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
                raise key.error(f"{what}: unknown key '{name}'; {hint}")
            if name in entries:
                raise key.error(f"{what}: key '{name}' stands twice")
            entries[name] = Located(self.file, value_node)
        return entries

    def items(self, what: str) -> Iterator[Located]:
        """The entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"{what} must be a list")
        return (Located(self.file, node) for node in self.node.value)

    def text(self, what: str) -> str:
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value:
            raise self.error(f"{what} must be a text")
        return str(self.node.value)

    def value(self) -> Any:
        """What stands there, as plain lists, mappings and scalars.

        Raises:
            ConfigError: it bears a tag that is none of YAML's own.
        """
        try:
            return yaml.SafeLoader("").construct_object(self.node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(f"cannot be read: {str(error).splitlines()[0]}") from None

    def number(self, what: str, least: int, most: int) -> int:
        value: Any = None
        if isinstance(self.node, yaml.ScalarNode):
            with contextlib.suppress(yaml.YAMLError, ValueError):  # a tag that it does not bear
                value = yaml.SafeLoader("").construct_object(self.node)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = self.node.value if isinstance(self.node, yaml.ScalarNode) else "a list or mapping"
            raise self.error(f"{what} must be a whole number from {least} to {most}, not {shown!r}")
        return value


def read(path: Path) -> list[Located]:
    """The documents of a YAML file: `---` between them, or one list of them.

    Raises:
        ConfigError: it cannot be read or is no YAML; names the line.
    """
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text file") from None
    try:
        nodes = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigError(f"{path}:{line}: no YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {str(error).splitlines()[0]}") from None
    documents = []
    for node in nodes:
        located = Located(str(path), node)
        documents += list(located.items("the file")) if isinstance(node, yaml.SequenceNode) else [located]
    return documents
