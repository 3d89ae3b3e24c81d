"""What is in a repository."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog

from inferloom.mesh.names import is_name
from inferloom.sidecar.modelfile.folder import versions_in
from inferloom.sidecar.repository.files import fingerprint

__all__ = ["RepositoryModel", "scan"]


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RepositoryModel:
    """A model as it lies in the repository.

    `fingerprint` changes when any file of the model does: its path, size, time or inode.
    """

    name: str
    versions: tuple[str, ...]  # oldest first
    fingerprint: str


def scan(repository: Path) -> dict[str, RepositoryModel]:
    """The models of a repository by name.

    Hidden folders, files and folders without a version are not models. A folder whose name no model may have is left out,
    and said once in the log: it shall not keep the others from being loaded.
    """
    models: dict[str, RepositoryModel] = {}
    if not repository.is_dir():
        return models
    for folder in sorted(repository.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            versions = versions_in(folder)
            if versions and not is_name(folder.name):
                _report(folder)
            elif versions:
                models[folder.name] = RepositoryModel(folder.name, versions, fingerprint(folder))
        except FileNotFoundError:
            continue  # removed while we looked
    return models


@cache
def _report(folder: Path) -> None:
    log.warning("folder is left out: its name is no model's (letters, digits, '.', '_', '-')", folder=str(folder))
