"""The files of a model in a repository, and hidden folders where new ones are built."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["NOISE", "files", "fingerprint", "same", "staged", "swap"]

# Written by Python when Triton runs a model, so no change of the model.
NOISE = ("__pycache__",)

_HIDDEN = ".inferloom-"
_STALE = 86400.0  # seconds


def files(folder: Path) -> Iterator[Path]:
    """Files of a model, in order, without hidden ones."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in NOISE)
        yield from (Path(root, name) for name in sorted(names) if not name.startswith("."))


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in files(folder):
        state = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{state.st_size}\0{state.st_mtime_ns}\0{state.st_ino}\n".encode())
    return digest.hexdigest()[:16]


def same(one: Path, other: Path) -> bool:
    if not one.is_dir():
        return False
    names = [str(path.relative_to(one)) for path in files(one)]
    if names != [str(path.relative_to(other)) for path in files(other)]:
        return False
    return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])


def swap(new: Path, old: Path, stage: Path) -> None:
    """Two renames: between them the version is not there, but no half of it ever is."""
    if old.exists():
        old.rename(stage / f"old-{old.name}")
    new.rename(old)


@contextmanager
def staged(repository: Path, name: str) -> Iterator[Path]:
    """A hidden folder in the repository, on its file system; gone at the end unless it was renamed."""
    repository.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f"{_HIDDEN}{name}-", dir=repository))
    # mkdtemp's folders are private; Triton may run as another user.
    stage.chmod(0o755)
    made = stage.stat().st_mtime
    try:
        for left in repository.glob(f"{_HIDDEN}*"):
            # A process that was killed cannot tidy up; nobody copies for a day. Others tidy up at the same time.
            with suppress(FileNotFoundError):
                if made - left.stat().st_mtime > _STALE:
                    shutil.rmtree(left)
        yield stage
    finally:
        if stage.exists():
            shutil.rmtree(stage)
