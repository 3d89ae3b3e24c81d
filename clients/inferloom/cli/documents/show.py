"""`inferloom get`, `diff` and `history`: documents as they are and were."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from pathlib import Path

from inferloom.cli.documents.kinds import as_yaml, drawn, kind_of, settled
from inferloom.cli.documents.mesh import opened
from inferloom.cli.documents.written import written
from inferloom.cli.state import find
from inferloom.cli.up.documents import PIPELINE
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Document, Documents, Spec

__all__ = ["diff", "get", "history", "version_of"]


async def get(
    kind: str, name: str | None, version: int | None, form: str | None, *, mesh: str | None, token: str | None
) -> None:
    """Print a document, or without a name those there are. Without a form a pipeline is drawn, others are YAML.

    Raises:
        InvalidInput: there is none, or it cannot be shown in that form.
    """
    kind = kind_of(kind)
    async with opened(mesh, token) as (_, registry):
        if name is None:
            async for documents in registry.documents.watch(kind):
                for _, document in sorted(documents.items()):
                    print(f"{document.name}  version {document.version}, {_when(document)}")
                return
        assert name is not None
        document = await version_of(registry.documents, kind, name, version)
        assert document.spec is not None
        print(drawn(kind, name, document.spec, form or ("text" if kind == PIPELINE else "yaml")))


async def history(kind: str, name: str, *, mesh: str | None, token: str | None) -> None:
    """Print every kept version, newest first. Raises InvalidInput where there is none."""
    kind = kind_of(kind)
    async with opened(mesh, token) as (_, registry):
        found = await registry.documents.history(kind, name)
        if not found:
            raise InvalidInput(await _none(registry.documents, kind, name))
        for document in reversed(found):
            print(f"{document.version:>4}  {_when(document)}" + ("  deleted" if document.spec is None else ""))


async def diff(what: Sequence[str], *, mesh: str | None, token: str | None) -> bool:
    """`diff_file` of a file, `diff_versions` of KIND NAME [OLD [NEW]]. InvalidInput where it is neither."""
    if len(what) == 1:
        return await diff_file(Path(what[0]), mesh=mesh, token=token)
    kind, name, *versions = what
    if len(versions) > 2 or not all(version.isdecimal() for version in versions):
        raise InvalidInput("give a FILE, or KIND NAME and one or two versions, as: diff pipeline digits 3 5")
    old, new = (*map(int, versions), None, None)[:2]
    return await diff_versions(kind, name, old, new, mesh=mesh, token=token)


async def diff_versions(
    kind: str, name: str, old: int | None, new: int | None, *, mesh: str | None, token: str | None
) -> bool:
    """Print what changed between two versions, by default the last two; False where they differ.

    Raises:
        InvalidInput: there is no such version.
    """
    kind = kind_of(kind)
    async with opened(mesh, token) as (_, registry):
        found = {document.version: document for document in await registry.documents.history(kind, name)}
        if not found:
            raise InvalidInput(await _none(registry.documents, kind, name))
        after = _kept(found, new if new is not None else max(found), kind, name)
        earlier = [version for version in found if version < after.version]
        if old is None and not earlier:
            print(f"{kind} {name} has one version alone")
            return True
        before = _kept(found, old if old is not None else max(earlier), kind, name)
        labels = (f"{kind} {name} version {before.version}", f"{kind} {name} version {after.version}")
        return _printed(before.spec, after.spec, *labels)


async def diff_file(path: Path, *, mesh: str | None, token: str | None) -> bool:
    """Print what `apply` of the file would change; False where it would change something."""
    file = await written(path, find(mesh, token).host)
    same = True
    async with opened(mesh, token) as (_, registry):
        for kind, name in file.documents:
            present = await registry.documents.get(kind, name)
            before = present.spec if present is not None else None
            after = settled(kind, name, file.documents[kind, name], before)
            there = f"{kind} {name} version {present.version}" if present is not None else f"{kind} {name}, not there"
            same &= _printed(before, after, there, f"{kind} {name} of {file.place((kind, name))}")
    return same


async def version_of(documents: Documents, kind: str, name: str, version: int | None) -> Document:
    """The present version, or that one. Raises InvalidInput where it is not kept, or is a deletion."""
    if version is None:
        document = await documents.get(kind, name)
        if document is None:
            raise InvalidInput(await _none(documents, kind, name))
        return document
    found = {document.version: document for document in await documents.history(kind, name)}
    if not found:
        raise InvalidInput(await _none(documents, kind, name))
    document = _kept(found, version, kind, name)
    if document.spec is None:
        raise InvalidInput(f"version {version} of {kind} '{name}' is its deletion: name another")
    return document


def _kept(found: dict[int, Document], version: int, kind: str, name: str) -> Document:
    if version not in found:
        raise InvalidInput(f"{kind} '{name}' has no version {version}; kept are {_ranges(sorted(found))}")
    return found[version]


def _ranges(versions: Sequence[int]) -> str:
    whole = list(versions) == list(range(versions[0], versions[-1] + 1)) and len(versions) > 2
    return f"{versions[0]} to {versions[-1]}" if whole else ", ".join(map(str, versions))


async def _none(documents: Documents, kind: str, name: str) -> str:
    async for present in documents.watch(kind):
        names = [other for _, other in present]
        near = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(sorted(names))}" if names else ""
        return f"there is no {kind} '{name}'{hint}"
    return f"there is no {kind} '{name}'"


def _printed(before: Spec | None, after: Spec | None, old: str, new: str) -> bool:
    """Prints the difference; True where there is none."""
    one, other = (as_yaml(dict(spec)).splitlines() if spec is not None else [] for spec in (before, after))
    lines = list(difflib.unified_diff(one, other, old, new, lineterm=""))
    if lines:
        print("\n".join(lines))
    return not lines


def _when(document: Document) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(document.time))
    return f"{when}  {document.author or 'unknown'}"
