"""`inferloom codegen NAME`: a proto that a person can read, from what a mesh serves or from a model's files."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inferloom.cli.codegen.file_source import from_files
from inferloom.cli.codegen.mesh_source import from_mesh
from inferloom.cli.codegen.source import Source
from inferloom.cli.codegen.written import IMPORTED, Written, known_locks, package_of, proto_files
from inferloom.cli.state import find
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.proto.face import Face
from inferloom.services.proto.lock import Incompatible, Lock, at_major, numbered

__all__ = ["CLIENTS", "Options", "codegen"]

CLIENTS = ("python",)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said."""

    names: tuple[str, ...]
    out: Path = Path("protos")
    files: Path | None = None  # a model's file or folder; None: the mesh
    client: str = ""  # one of CLIENTS, written too
    major: int | None = None  # version of the package; None: the newest there is
    check: bool = False  # write nothing; whether all is as it would be written
    mesh: str | None = None
    token: str | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


async def codegen(options: Options) -> bool:
    """Write the protos of these names. False where `check` finds that something would change.

    Raises:
        InvalidInput: there is no such name, or a proto would break the stubs that callers have.
        RegistryUnavailable: no mesh answers.
    """
    if options.client and options.client not in CLIENTS:
        raise ConfigError(f"--client {options.client}: there is {', '.join(CLIENTS)}; others are made from the proto")
    locks = known_locks(options.out)
    written = Written(options.out)
    for source in await _sources(options):
        face, lock = _numbered(source, locks, options)
        locks = {**locks, (lock.name, lock.major): lock}
        for warning in face.warnings:
            print(f"inferloom: warning: {face.name}: {warning}", file=sys.stderr)
        written.files |= proto_files(face, lock, options.out)
        if options.client:
            from inferloom.cli.codegen.python_client import client_files

            written.files |= client_files(face, lock)
    if options.check:
        differing = written.differing()
        for name in differing:
            print(f"inferloom: {options.out / name} is not what `inferloom codegen` writes", file=sys.stderr)
        return not differing
    changed = written.write()
    packages = sorted({package for name in changed if (package := package_of(name))})
    for name in [*(name for name in changed if not (name.startswith(IMPORTED) or package_of(name))), *packages]:
        print(f"wrote {options.out / name}")
    if not changed:
        print(f"{options.out}: nothing has changed")
    return True


async def _sources(options: Options) -> list[Source]:
    if options.files is not None:
        return await from_files(options.files, options.names)
    state = find(options.mesh, options.token)
    secure = {"ca": options.ca, "cert": options.cert, "key": options.key}
    return await from_mesh(state.address, options.names, token=state.token or None, **secure)


def _numbered(source: Source, locks: Mapping[tuple[str, int], Lock], options: Options) -> tuple[Face, Lock]:
    """The face with the numbers that were promised: by the mesh that serves it, and by what was written before."""
    served = source.served
    own = {major: lock for (name, major), lock in locks.items() if name == source.name}
    newest = max(own, default=served.major if served else 1)
    major = options.major or newest
    if options.major and not 1 <= options.major <= newest + 1:
        raise InvalidInput(f"--major {options.major}: the newest of '{source.name}' is {newest}")
    lock = own.get(major)
    taken = frozenset(each.segment for (name, _), each in locks.items() if name != source.name)
    part = served.segment if served else next(iter(own.values())).segment if own else ""
    face = at_major(source.face(part, taken), major)
    if served is None or served.major != major:
        if served is not None and options.major is None:
            _explain(face, lock, served)
        if served is not None:
            print(f"inferloom: warning: the mesh serves {source.name} as v{served.major}", file=sys.stderr)
        return numbered(face, lock)
    if lock is not None:
        _agree(source.name, lock, served, options.out)
    return numbered(face, served)


def _explain(face: Face, lock: Lock | None, served: Lock) -> None:
    """Raises Incompatible where what the mesh serves has another major version than what was written."""
    numbered(face, lock)
    raise Incompatible(
        f"'{face.name}': the mesh serves package v{served.major}, and what was written is v{face.major}: "
        f"--major {served.major} writes what is served"
    )


def _agree(name: str, lock: Lock, served: Lock, out: Path) -> None:
    """Raises Incompatible where a lock says other numbers than the mesh."""
    for scope, entries in lock.scopes.items():
        there = served.scopes.get(scope)
        known = {**there.gone, **there.present} if there else {}
        numbers = {number for number, _ in known.values()}
        for field, entry in {**entries.gone, **entries.present}.items():
            if known.get(field, entry) != entry or (field not in known and entry[0] in numbers):
                raise Incompatible(
                    f"'{name}': number {entry[0]} of {scope}.{field} in '{out}' is none of the mesh's: the one was not "
                    "written from the other; give another --out, or delete the lock file to take the mesh's"
                )
