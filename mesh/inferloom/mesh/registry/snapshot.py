"""The last good snapshot, on disk: what serves when a process starts while its registry is away.

The file holds replicas' records and nothing secret. It is replaced atomically; its modification time is when the source
last confirmed it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferloom.mesh.catalog import Replica
from inferloom.mesh.registry.record import RecordError, from_fields, to_fields

__all__ = ["Snapshot", "SnapshotFile", "file_name", "state_folder"]

FORMAT = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Replicas as they were last confirmed.

    `confirmed` is in seconds since 1970.
    """

    replicas: tuple[Replica, ...]
    confirmed: float


class SnapshotFile:
    """One file with the newest snapshot. Several processes may share it: the last writer wins."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Snapshot | None:
        """What was saved last; None where there is nothing, or nothing that this version understands."""
        try:
            confirmed = self.path.stat().st_mtime
            found = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get("format") != FORMAT or not isinstance(found.get("replicas"), list):
            return None
        replicas = []
        for entry in found["replicas"]:
            try:
                healthy = not (isinstance(entry, dict) and entry.get("healthy") is False)
                replicas.append(from_fields(entry, healthy=healthy))
            except RecordError as error:  # a newer writer's; the others still serve
                log.warning("a record in %s is not understood and left out: %s", self.path, error)
        return Snapshot(tuple(replicas), confirmed)

    def save(self, replicas: Sequence[Replica], confirmed: float) -> None:
        """Replace the file.

        Raises:
            OSError: it cannot be written.
        """
        entries = [to_fields(replica) | {"healthy": replica.healthy} for replica in replicas]
        data = json.dumps({"format": FORMAT, "replicas": entries}, separators=(",", ":")).encode()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.utime(temporary, (confirmed, confirmed))
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def confirm(self, confirmed: float) -> None:
        """Note that the source has said the same again.

        Raises:
            OSError: it is not there any more.
        """
        os.utime(self.path, (confirmed, confirmed))


def state_folder() -> Path:
    """`$INFERLOOM_STATE`, else `$XDG_STATE_HOME/inferloom`, else `~/.local/state/inferloom`; in it, `registry`."""
    if own := os.environ.get("INFERLOOM_STATE"):
        return Path(own) / "registry"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "inferloom" / "registry"


def file_name(*parts: str) -> str:
    """A file name made of these parts, whatever characters they have."""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") for part in parts) + ".json"
