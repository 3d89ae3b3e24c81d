"""Shared memory of Triton's Python backend: a Triton that is killed leaves its regions in /dev/shm.

Each run of a Triton gets a prefix of its own, which names the sidecar's process; what has it is removed when that run
has ended, and by the next sidecar where this one was killed as well.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from inferloom.sidecar.backends import BACKENDS

__all__ = ["options", "prefix", "remove", "remove_orphans"]

FOLDER = Path("/dev/shm")  # noqa: S108 POSIX shared memory on Linux, not a temporary file of ours
NAME = re.compile(r"inferloom-(\d+)-[0-9a-f]+-")


def prefix() -> str:
    """A new one, for one run of a Triton of this process (which may have several)."""
    return f"inferloom-{os.getpid()}-{secrets.token_hex(4)}-"


def options(name: str) -> list[str]:
    """tritonserver's options that make it use the prefix, in its Python backend and in those that run on it."""
    return [f"--backend-config={backend},shm-region-prefix-name={name}" for backend in ("python", *BACKENDS)]


def remove(name: str, folder: Path = FOLDER) -> None:
    """Remove the regions with this prefix."""
    for path in folder.glob(f"{name}*"):
        path.unlink(missing_ok=True)


def remove_orphans(folder: Path = FOLDER, proc: Path = Path("/proc")) -> None:
    """Remove this user's regions whose sidecar runs no more."""
    for path in folder.glob("inferloom-*"):
        match = NAME.match(path.name)
        if match and not _runs(proc / match[1]) and path.stat().st_uid == os.getuid():
            path.unlink(missing_ok=True)


def _runs(process: Path) -> bool:
    """Whether a process is there and is no zombie that nobody has waited for yet."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
