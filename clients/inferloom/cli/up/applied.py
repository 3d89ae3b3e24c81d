"""What is added to a running mesh is kept in a file beside its mesh.yaml, so that nothing is lost at exit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
import yaml

from inferloom.cli.up import meshfile
from inferloom.cli.up.documents import KIND, ModelSpec
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Registry

__all__ = ["Applied"]

log = structlog.get_logger(__name__)

FILE = "mesh.applied.yaml"
HEAD = "# Written by inferloom: what was added beside mesh.yaml, changed or removed. Delete it to forget that.\n"


class Applied:
    """The file of one folder.

    Args:
        base: what mesh.yaml declares.
        host: the mesh whose documents are meant, where a registry holds those of several.
    """

    def __init__(self, folder: Path, base: tuple[ModelSpec, ...], host: str = "") -> None:
        self._path = folder / FILE
        self._host = host
        self._base = {spec.name: spec for spec in base}

    def models(self) -> tuple[ModelSpec, ...]:
        """mesh.yaml's models as they were last changed, those added since, and none that was removed.

        Raises:
            ConfigError: the file is wrong; names the line.
        """
        if not self._path.exists():
            return tuple(self._base.values())
        later, removed = meshfile.load_applied(self._path)
        models = self._base | {spec.name: spec for spec in later}
        return tuple(spec for name, spec in models.items() if name not in removed)

    async def keep(self, registry: Registry) -> None:
        """Write the file after each change, for ever."""
        async for documents in registry.documents.watch(KIND):
            try:
                self.write(documents)
            except (OSError, InferloomError) as error:
                log.error("what was changed is not kept for the next start", file=str(self._path), error=str(error))

    def write(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Make the file hold what differs from mesh.yaml; without a difference there is no file."""
        specs = {name: document.spec or {} for (_, name), document in documents.items()}
        mine = {name: spec for name, spec in specs.items() if not self._host or spec.get("host") == self._host}
        present = {name: ModelSpec.from_json(name, spec) for name, spec in mine.items()}
        changed = [_document(spec) for name, spec in sorted(present.items()) if not _same(self._base.get(name), spec)]
        gone = [
            {"kind": meshfile.REMOVED, "name": name, "spec": {}} for name in sorted(self._base.keys() - present.keys())
        ]
        if not changed + gone:
            self._path.unlink(missing_ok=True)
            return
        text = HEAD + yaml.safe_dump(changed + gone, sort_keys=False)
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
