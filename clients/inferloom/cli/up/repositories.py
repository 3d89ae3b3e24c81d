"""The model repositories of the Tritons that `up` runs: one folder each, filled from the documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.placement import Place
from inferloom.mesh.errors import InferloomError
from inferloom.sidecar import repository
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["Repositories"]


class Repositories:
    """Folders under a root, one for each Triton. Its sidecar loads what appears and unloads what goes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, place_id: str) -> Path:
        return self._root / place_id

    def fill(self, place: Place, specs: Mapping[str, ModelSpec]) -> dict[str, str]:
        """Make a place's folder hold its models and nothing else. Blocks: it copies files.

        Returns:
            Why a model could not be placed, by its name; nothing of such a model is removed.
        """
        folder = self.folder(place.id)
        folder.mkdir(parents=True, exist_ok=True)
        present = repository.scan(folder)
        problems = {}
        for name in sorted(place.models):
            spec = specs[name]
            try:
                for number, version in spec.versions.items():
                    _put(folder, spec, number, version)
            except (InferloomError, OSError) as error:
                problems[name] = str(error)
                continue
            for number in present[name].versions if name in present else ():
                if number not in spec.versions and not _folder_of_versions(spec):
                    repository.remove(folder, name, number)
        for name in present.keys() - place.models:
            repository.remove(folder, name)
        return problems


def _put(folder: Path, spec: ModelSpec, number: str, version: VersionSpec) -> None:
    repository.place(
        version.source,
        folder,
        spec.name,
        "" if _folder_of_versions(spec) else number,
        gpus=spec.gpus,
        inputs=[TensorType.parse(text) for text in version.inputs],
        outputs=[TensorType.parse(text) for text in version.outputs],
        warmup=version.warmup,
        replace=True,
    )


def _folder_of_versions(spec: ModelSpec) -> bool:
    """A folder in Triton's layout brings its own versions."""
    return len(spec.versions) == 1 and all(version.source.is_dir() for version in spec.versions.values())
