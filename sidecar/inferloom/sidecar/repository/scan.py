"""What is in a repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inferloom.mesh.names import check_name
from inferloom.sidecar.modelfile.folder import versions_in
from inferloom.sidecar.repository.files import fingerprint

__all__ = ["RepositoryModel", "scan"]


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """A model as it lies in the repository.

    `fingerprint` changes when any file of the model does: its path, size, time or inode.
    """

    name: str
    versions: tuple[str, ...]  # oldest first
    fingerprint: str


def scan(repository: Path) -> dict[str, RepositoryModel]:
    """The models of a repository by name. Hidden folders, files and folders without a version are not models.

    Raises InvalidInput where a folder with versions has a name that no model may have.
    """
    models: dict[str, RepositoryModel] = {}
    if not repository.is_dir():
        return models
    for folder in sorted(repository.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            versions = versions_in(folder)
            if versions:
                check_name(folder.name, f"model name (folder in '{repository}')")
                models[folder.name] = RepositoryModel(folder.name, versions, fingerprint(folder))
        except FileNotFoundError:
            continue  # removed while we looked
    return models
