"""What a file says the mesh shall have: a YAML file of documents, or a Python file that declares services and pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from inferloom.cli.up.describe import Describe, describe
from inferloom.cli.up.documents import POLICY, SPLIT
from inferloom.cli.up.expand import expand
from inferloom.cli.up.located import Located, read
from inferloom.cli.up.meshfile import MeshFile, load
from inferloom.cli.up.meshfile_hosted import AppEntry, PolicyEntry, SplitEntry, policy, split
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.names import is_name
from inferloom.mesh.registry.base import DocumentKey, Spec

__all__ = ["Written", "written"]


@dataclass(frozen=True, slots=True)
class Written:
    """The documents of a file, all of them well-formed.

    Attributes:
        documents: by kind and name, as they are stored.
        places: of those that stand in the file themselves, where their specs are.
        sources: Python files whose steps the pipelines may name.
        lines: of pipelines from Python, by name: "file:line" of their nodes.
    """

    file: Path
    documents: Mapping[DocumentKey, Spec]
    places: Mapping[DocumentKey, Located]
    sources: frozenset[Path]
    lines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def place(self, key: DocumentKey, node: str = "") -> str:
        """ "file:line" of a document, or of a node in it."""
        where = self.places.get(key)
        if where is None:
            return str(self.file)
        return (_node(where, node) or where).place

    def field(self, key: DocumentKey, path: str) -> str:
        """ "file:line" of a field of a document's spec, by its path: "retry.jitter"."""
        where = self.places.get(key)
        if where is None:
            return str(self.file)
        node: yaml.Node | None = where.node
        for name in path.split("."):
            found = _key(node, name)
            where = Located(where.file, found) if found is not None else where
            node = _value(node, name)
        return where.place


async def written(path: Path, host: str = "", ask: Describe = describe) -> Written:
    """Read a file. Users' code is asked in a process of its own.

    Args:
        host: the mesh that models and services of it are for (`MeshState.host`).

    Raises:
        ConfigError: names the file, the line, and what would be right.
        InvalidInput: a Python file does not import, or declares something wrong.
    """
    if path.suffix == ".py":
        if not path.is_file():
            raise ConfigError(f"there is no file {path}")
        file = MeshFile(apps=(AppEntry(path.resolve()),))
    else:
        file = _rules(path) or load(path)
    described = {source: await ask(source) for source in sorted(file.sources)}
    documents = expand(file, described, host)
    steps = {step for pipeline in file.pipelines.values() for step in pipeline.steps}
    lines = {name: places for app in described.values() for name, places in app.places.items()}
    return Written(path, documents, _places(file), file.sources | steps, lines)


def _places(file: MeshFile) -> dict[DocumentKey, Located]:
    return {
        **{("service", name): entry.where for name, entry in file.services.items()},
        **{("pipeline", name): entry.where for name, entry in file.pipelines.items()},
        **{(SPLIT, name): entry.where for name, entry in file.splits.items()},
        **{(POLICY, name): entry.where for name, entry in file.policies.items()},
    }


def _node(where: Located, name: str) -> Located | None:
    """Where a node of a pipeline is written: `nodes` is a list, or a mapping by name."""
    nodes = _value(where.node, "nodes")
    if isinstance(nodes, yaml.MappingNode):
        key = _key(nodes, name)
        return Located(where.file, key) if key is not None else None
    items = nodes.value if isinstance(nodes, yaml.SequenceNode) else []
    found = (item for item in items if getattr(_value(item, "name"), "value", None) == name)
    return next((Located(where.file, item) for item in found), None)


def _key(node: yaml.Node | None, key: str) -> yaml.Node | None:
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((name for name, _ in entries if name.value == key), None)


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    entries = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in entries if name.value == key), None)


def _rules(path: Path) -> MeshFile | None:
    """A file with splits and policies and nothing else, which is no mesh.yaml; None of any other."""
    splits: dict[str, SplitEntry] = {}
    policies: dict[str, PolicyEntry] = {}
    documents = read(path)
    for document in documents:
        value = document.value()
        if not isinstance(value, dict) or value.get("kind") not in (SPLIT, POLICY):
            return None
    for document in documents:
        entries = document.mapping("a document", ("kind", "name", "spec"))
        for key in ("name", "spec"):
            if key not in entries:
                raise document.error(f"the document has no '{key}'")
        kind, name = (entries[key].text(key) for key in ("kind", "name"))
        if not is_name(name):
            raise entries["name"].error(f"{name!r} is no name: letters, digits, '.', '_' or '-'")
        if name in (splits if kind == SPLIT else policies):
            raise document.error(f"{kind} '{name}' is declared twice")
        if kind == SPLIT:
            splits[name] = split(name, entries["spec"])
        else:
            policies[name] = policy(name, entries["spec"])
    return MeshFile(splits=splits, policies=policies) if documents else None
