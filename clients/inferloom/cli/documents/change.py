"""`inferloom rollback` and `delete`: every change is a new version, so each of them can be taken back."""

from __future__ import annotations

import sys

from inferloom.cli.documents.checking import check_pipelines
from inferloom.cli.documents.kinds import kind_of
from inferloom.cli.documents.mesh import opened
from inferloom.cli.documents.show import version_of
from inferloom.cli.state import author
from inferloom.cli.up.documents import PIPELINE
from inferloom.mesh.errors import InvalidInput

__all__ = ["delete", "rollback"]


async def rollback(kind: str, name: str, version: int | None, *, mesh: str | None, token: str | None) -> bool:
    """Write an older version's spec as a new one; by default the one before the present.

    A pipeline that could not run now is left as it is: False, and every finding is printed.

    Raises:
        InvalidInput: there is no such version.
        Conflict: somebody else has changed it meanwhile.
    """
    kind = kind_of(kind)
    async with opened(mesh, token) as (state, registry):
        kept = await registry.documents.history(kind, name)
        newest = kept[-1] if kept else await version_of(registry.documents, kind, name, None)
        if version is None:
            earlier = [document.version for document in kept[:-1] if document.spec is not None]
            if not earlier:
                raise InvalidInput(f"{kind} '{name}' has no version before {newest.version}")
            version = earlier[-1]
        wanted = await version_of(registry.documents, kind, name, version)
        assert wanted.spec is not None
        if newest.spec == wanted.spec:
            print(f"{kind} {name}: version {newest.version} is the same as {version}; nothing to do")
            return True
        if kind == PIPELINE:
            label = f"version {version}"
            findings = await check_pipelines(
                {name: wanted.spec}, {}, frozenset(), lambda *_: label, registry, state.token
            )
            for finding in findings:
                print(f"inferloom: {finding}", file=sys.stderr)
            if findings:
                return False
        expected = newest.version if newest.spec is not None else 0
        document = await registry.documents.put(kind, name, wanted.spec, expected_version=expected, author=author())
        print(f"{kind} {name}: version {document.version}, the same as {version}")
        return True


async def delete(kind: str, name: str, *, mesh: str | None, token: str | None) -> None:
    """Take a document out; its history stays, so that `rollback` can bring it back.

    Raises:
        InvalidInput: there is none.
    """
    kind = kind_of(kind)
    async with opened(mesh, token) as (_, registry):
        present = await version_of(registry.documents, kind, name, None)
        await registry.documents.put(kind, name, None, expected_version=present.version, author=author())
        print(
            f"{kind} {name}: deleted (version {present.version} can be brought back: inferloom rollback {kind} {name})"
        )
