"""What is added to a running mesh is kept in a file beside its mesh.yaml, so that nothing is lost at exit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from inferloom.cli.up import meshfile
from inferloom.cli.up.documents import KIND, ModelSpec
from inferloom.mesh.registry.base import Document, DocumentKey, Registry

__all__ = ["Applied"]

FILE = "mesh.applied.yaml"
HEAD = "# Written by inferloom: what was added beside mesh.yaml, or changed. Delete it to forget that.\n"


class Applied:
    """The file of one folder."""

    def __init__(self, folder: Path, base: tuple[ModelSpec, ...]) -> None:
        self._path = folder / FILE
        self._base = {spec.name: spec for spec in base}

    def models(self) -> tuple[ModelSpec, ...]:
        """mesh.yaml's models as they were last changed, and those added since.

        Raises:
            ConfigError: the file is wrong; names the line.
        """
        if not self._path.exists():
            return tuple(self._base.values())
        later = {spec.name: spec for spec in meshfile.load(self._path).models}
        return tuple((self._base | later).values())

    async def keep(self, registry: Registry) -> None:
        """Write the file after each change, for ever."""
        async for documents in registry.documents.watch(KIND):
            self.write(documents)

    def write(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Make the file hold what differs from mesh.yaml; without a difference there is no file."""
        present = {name: ModelSpec.from_json(name, d.spec or {}) for (_, name), d in documents.items()}
        changed = [spec for name, spec in sorted(present.items()) if not _same(self._base.get(name), spec)]
        if not changed:
            self._path.unlink(missing_ok=True)
            return
        text = HEAD + yaml.safe_dump([_document(spec) for spec in changed], sort_keys=False)
        beside = self._path.with_suffix(".tmp")
        beside.write_text(text)
        beside.replace(self._path)


def _same(one: ModelSpec | None, other: ModelSpec) -> bool:
    return one is not None and (one.versions, one.replicas, one.gpus) == (other.versions, other.replicas, other.gpus)


def _document(spec: ModelSpec) -> dict[str, object]:
    versions = {}
    for number, version in spec.versions.items():
        entry = {key: value for key, value in version.to_json().items() if value}
        versions[number] = entry
    return {
        "kind": KIND,
        "name": spec.name,
        "spec": {"versions": versions, "replicas": spec.replicas, "gpus": spec.gpus},
    }
