"""What is added to a running mesh is kept in a file beside its mesh.yaml, so that nothing is lost at exit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
import yaml

from inferloom.cli.up import meshfile
from inferloom.cli.up.documents import KIND, SPLIT
from inferloom.cli.up.expand import Wanted
from inferloom.cli.up.owned import HOSTED, Mine
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, DocumentKey, Registry, Spec

__all__ = ["Applied"]

log = structlog.get_logger(__name__)

FILE = "mesh.applied.yaml"
HEAD = "# Written by inferloom: what was added beside mesh.yaml, changed or removed. Delete it to forget that.\n"


class Applied:
    """The file of one folder.

    Args:
        base: what mesh.yaml, and the files it names, declare; to be replaced when they change.
        mine: tells the mesh's own documents from those of others in its registry.
    """

    def __init__(
        self, folder: Path, base: Mapping[DocumentKey, Spec], host: str = "", mine: Mine | None = None
    ) -> None:
        self._path = folder / FILE
        self._host = host
        self._mine = mine or Mine(host, alone=True)
        self.base = dict(base)

    def documents(self) -> Wanted:
        """mesh.yaml's documents as they were last changed, those added since, and none that was removed.

        Raises:
            ConfigError: the file is wrong; names the line.
        """
        if not self._path.exists():
            return dict(self.base)
        kept, removed = meshfile.load_applied(self._path)
        later = {key: {**spec, "host": self._host} if key[0] in HOSTED else spec for key, spec in kept.items()}
        return {key: spec for key, spec in (self.base | later).items() if key not in removed}

    async def keep(self, registry: Registry) -> None:
        """Write the file after each change, for ever."""
        async for documents in registry.documents.watch():
            try:
                self.write(documents)
            except (OSError, InferloomError) as error:
                log.error("what was changed is not kept for the next start", file=str(self._path), error=str(error))

    def write(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Make the file hold what differs from mesh.yaml; without a difference there is no file."""
        present = {key: _kept(spec) for key, spec in self._mine.among(documents).items()}
        base = {key: _kept(spec) for key, spec in self.base.items()}
        entries = [
            {"kind": kind, "name": name, "spec": _short(spec) if kind == KIND else dict(spec)}
            for (kind, name), spec in sorted(present.items())
            if not _same(kind, base.get((kind, name)), spec)
        ]
        entries += [
            {"kind": meshfile.REMOVED, "name": name, "spec": {} if kind == KIND else {"kind": kind}}
            for kind, name in sorted(base.keys() - present.keys())
        ]
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        text = HEAD + yaml.safe_dump(entries, sort_keys=False)
        beside = self._path.with_suffix(".tmp")
        beside.write_text(text)
        beside.replace(self._path)


def _kept(spec: Spec) -> Spec:
    """Which mesh it is for is settled at each start."""
    return {key: value for key, value in spec.items() if key != "host"}


def _same(kind: str, base: Spec | None, present: Spec) -> bool:
    """Ranges of a split do not count: they follow from what was before, and mesh.yaml goes on saying the shares."""
    if base is None or kind != SPLIT:
        return base == present
    return {**base, "ranges": None} == {**present, "ranges": None}


def _short(spec: Spec) -> dict[str, object]:
    """A model's, without what is empty."""
    versions = {
        number: {key: value for key, value in version.items() if value} for number, version in spec["versions"].items()
    }
    return {"versions": versions, "replicas": spec["replicas"], "gpus": spec["gpus"]}
