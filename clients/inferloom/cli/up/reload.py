"""Follows the Python files of a mesh: what they declare anew comes, what they declare no longer goes.

Their code is loaded again by the hosts themselves; here only declarations are compared. A file that does not import, or
contradicts mesh.yaml, changes nothing: why is said, and what it declared before goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from inferloom.cli.state import author
from inferloom.cli.up.declared import Declared
from inferloom.cli.up.describe import Describe, describe
from inferloom.cli.up.documents import APP, KIND, SERVICE
from inferloom.cli.up.expand import Wanted
from inferloom.cli.up.meshfile import MeshFile
from inferloom.cli.up.meshfile_hosted import AppEntry
from inferloom.cli.up.owned import Mine
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import DocumentKey, Registry, Spec

__all__ = ["Reload", "fingerprint"]

log = structlog.get_logger(__name__)
EVERY = 0.2  # seconds between looks at the files

Fingerprint = frozenset[tuple[str, int, int]]


@dataclass(slots=True)
class _Origin:
    """Declarations that are read together, and the documents that came of them."""

    declared: Declared
    documents: Wanted

    @property
    def sources(self) -> Iterable[Path]:
        return self.declared.described


class Reload:
    """Of one mesh.

    Args:
        first: what `up` was started with.
        changed: called with the documents that `first` now stands for, after each change of them.
        kick: called when a file that did not import does again.
        say: shows a line to the user.
    """

    def __init__(
        self,
        registry: Registry,
        first: Declared,
        host: str,
        mine: Mine,
        *,
        changed: Callable[[Wanted], None],
        kick: Callable[[], None],
        say: Callable[[str], None],
        ask: Describe = describe,
    ) -> None:
        self._registry = registry
        self._host = host
        self._mine = mine
        self._changed = changed
        self._kick = kick
        self._say = say
        self._ask = ask
        self._origins = [_Origin(first, first.documents(host))]
        self._steps = {path for entry in first.file.pipelines.values() for path in entry.steps}
        self._seen = {path: fingerprint(path) for path in first.described}
        self._last: dict[Path, Fingerprint] = {}
        self._said = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except InferloomError as error:  # the registry does not answer: looked at again
                log.warning("a change of the files is not carried out yet", error=str(error))

    async def look(self) -> None:
        """Compare the files with what was seen of them, and carry out what has changed."""
        await self._find_new()
        for origin in self._origins:
            for path in origin.sources:
                now, last = fingerprint(path), self._last.get(path)
                self._last[path] = now
                if now != self._seen[path] and now == last:  # else it may just be being written
                    self._seen[path] = now
                    await self._read(origin, path)

    async def _find_new(self) -> None:
        """Files that were added to the mesh since."""
        known = {path for origin in self._origins for path in origin.sources} | self._steps
        for (kind, _), spec in self._mine.specs.items():
            if kind != APP or (path := Path(str(spec.get("source")))) in known:
                continue
            self._steps.add(path)  # whatever comes of it, it is asked once
            self._seen[path] = fingerprint(path)
            try:
                described = await self._ask(path)
                if described.empty:  # steps alone: the hosts follow them
                    continue
                found = Declared(MeshFile(apps=(AppEntry(path),)), {path: described})
                self._origins.append(_Origin(found, found.documents(self._host)))
            except InferloomError as error:
                log.warning("a file is not followed", file=str(path), error=str(error))

    async def _read(self, origin: _Origin, path: Path) -> None:
        try:
            description = await self._ask(path)
            described = {**origin.declared.described, path: description}
            found = Declared(origin.declared.file, described, origin.declared.folder, origin.declared.replicas)
            documents = found.documents(self._host)
        except InferloomError as error:
            self._tell(f"{error}; what ran before goes on")
            return
        self._kick()
        await self._put(origin.documents, documents)
        if origin is self._origins[0] and documents != origin.documents:
            self._changed(documents)
        origin.declared, origin.documents = found, documents
        self._tell("")

    async def _put(self, before: Wanted, after: Wanted) -> None:
        for key in before.keys() - after.keys():
            await self._registry.documents.put(*key, None, author=author())
            self._say(f"{path_of(key)} is declared no longer")
        for key, spec in after.items():
            if before.get(key) == spec:
                continue
            self._mine.wrote(key)
            present = await self._registry.documents.get(*key)
            merged = _beside(key, present.spec if present is not None else None, before.get(key), spec)
            await self._registry.documents.put(*key, merged, author=author())
            self._say(f"{path_of(key)} {'has changed' if key in before else 'is new'}")

    def _tell(self, text: str) -> None:
        if text and text != self._said:
            self._say(text)
        elif self._said and not text:
            self._say("the file is in order again")
        self._said = text


def fingerprint(path: Path) -> Fingerprint:
    """What changes when a file, or one beside it, is written."""
    found = set()
    for file in {path, *path.parent.glob("*.py"), *path.parent.glob("*/*.py")}:
        try:
            stat = file.stat()
        except OSError:  # just being replaced
            continue
        found.add((str(file), stat.st_mtime_ns, stat.st_size))
    return frozenset(found)


def path_of(key: DocumentKey) -> str:
    """How a document is called in a line for people."""
    return f"{key[0]} {key[1]}"


def _beside(key: DocumentKey, present: Spec | None, before: Spec | None, after: Spec) -> Spec:
    """With the versions that were added by others."""
    if key[0] not in (KIND, SERVICE) or present is None:
        return after
    own = (before or {}).get("versions", {})
    others = {number: version for number, version in present.get("versions", {}).items() if number not in own}
    return {**after, "versions": {**others, **after["versions"]}}
