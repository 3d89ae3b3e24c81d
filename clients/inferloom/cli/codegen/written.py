"""The files that are written: proto, lock, what the proto imports, buf's configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.descriptor import imports
from inferloom.services.proto.face import Face
from inferloom.services.proto.lock import Lock
from inferloom.services.proto.text import proto_text

__all__ = ["BUF", "IMPORTED", "PYTHON", "Written", "known_locks", "lock_path", "package_of", "proto_files"]

_MODELS = "inferloom/models"
IMPORTED = "google/"
PYTHON = "python"
_GOOGLE = ("google/api/annotations.proto", "google/api/http.proto")
BUF = "buf.yaml"
_BUF_TEXT = """\
version: v2
lint:
  use: [STANDARD]
  ignore: [google]
"""


@dataclass(slots=True)
class Written:
    """Files by their paths below the folder `out`."""

    out: Path
    files: dict[str, str] = field(default_factory=dict)

    def differing(self) -> list[str]:
        """Those that are not there, or not so."""
        return [name for name, text in sorted(self.files.items()) if self._present(name) != text]

    def write(self) -> list[str]:
        """Write what differs; its paths. A file that cannot be written raises InvalidInput."""
        changed = self.differing()
        for name in changed:
            path = self.out / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.files[name])
            except OSError as error:
                raise InvalidInput(f"'{path}' cannot be written: {error.strerror}") from None
        return changed

    def _present(self, name: str) -> str | None:
        try:
            return (self.out / name).read_text()
        except (OSError, UnicodeDecodeError):
            return None


def proto_files(face: Face, lock: Lock, out: Path) -> dict[str, str]:
    """What a face's proto consists of. A buf.yaml that is there already is its owner's."""
    made = {face.file: proto_text(face), lock_path(face): json.dumps(lock.to_json(), indent=2) + "\n"}
    if any(name.startswith("google/api/") for name in imports(face)):
        made |= {name: _google(name) for name in _GOOGLE}
    if not (out / BUF).exists():
        made[BUF] = _BUF_TEXT
    return made


def package_of(name: str) -> str:
    """The client package that a file is in: python/inferloom-models-iris; "" for the others."""
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == PYTHON and len(parts) > 2 else ""


def lock_path(face: Face) -> str:
    return face.file.removesuffix(".proto") + ".lock.json"


def known_locks(out: Path) -> Mapping[tuple[str, int], Lock]:
    """The locks below a folder, by name and major version.

    Raises:
        InvalidInput: one of them cannot be read.
    """
    found = {}
    for path in sorted((out / _MODELS).glob("*/v*/*.lock.json")):
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise InvalidInput(f"'{path}' cannot be read: {error}") from None
        lock = Lock.from_json(value, f"'{path}'")
        found[lock.name, lock.major] = lock
    return found


def _google(name: str) -> str:
    """Google's own file, as googleapis-common-protos has it: protoc has none of google/api."""
    return files("google.api").joinpath(name.rpartition("/")[2]).read_text()
