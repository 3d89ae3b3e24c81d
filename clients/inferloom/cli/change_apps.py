"""`inferloom add app.py`: the services, pipelines and models of a Python file, into a running mesh."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferloom.cli.state import MeshState, author
from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.documents import APP, KIND, PIPELINE, SERVICE
from inferloom.cli.up.examples import example_calls, example_requests, names_of
from inferloom.cli.up.expand import Wanted, expand, models_of
from inferloom.cli.up.meshfile import MeshFile
from inferloom.cli.up.meshfile_hosted import AppEntry
from inferloom.cli.up.output import Output
from inferloom.cli.up.problems import Standing, follow_problems
from inferloom.cli.up.ready import wait_until_served
from inferloom.cli.up.runtime import ensure_runtime
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Document, DocumentKey, Spec
from inferloom.mesh.registry.remote import RemoteRegistry

__all__ = ["add_app", "additions", "forget_apps"]

UNDONE = 10.0  # seconds


@dataclass(slots=True)
class _Written:
    """What was there before each document that was written, to be taken back."""

    registry: RemoteRegistry
    before: dict[DocumentKey, Document | None] = field(default_factory=dict)

    async def put(self, key: DocumentKey, spec: Spec, present: Document | None) -> None:
        version = present.version if present is not None else 0
        await self.registry.documents.put(*key, spec, expected_version=version, author=author())
        self.before[key] = present

    async def undo(self) -> None:
        """Write what was there before, and wait until the mesh is so again: another attempt must not see this one's fault."""
        for key, document in reversed(self.before.items()):
            try:
                await self.registry.documents.put(*key, document.spec if document else None, author=author())
            except InferloomError as error:
                print(f"inferloom: {key[0]} '{key[1]}' could not be taken back: {error}", file=sys.stderr)
        gone = {name for (_, name), document in self.before.items() if document is None}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNDONE):
                async for catalog in self.registry.watch():
                    if not any(name.partition(".")[0] in gone for name in catalog.models):
                        return


async def add_app(app: AppDescription, state: MeshState, *, timeout: float) -> None:
    """Add everything a file declares, and wait until it is served. If it cannot be, nothing changes.

    Raises:
        InvalidInput: something of it has a name that is taken.
        LoadFailed: it cannot be served; says why.
        TooSlow: it is not served within `timeout` seconds.
    """
    registry = RemoteRegistry(state.address, token=state.token)
    output = Output()
    await registry.start()
    try:
        wanted = expand(MeshFile(apps=(AppEntry(app.source),)), {app.source: app}, state.host)
        present = dict(await anext(aiter(registry.documents.watch())))
        new = additions(wanted, present)
        models = models_of({key: spec for key, spec in new.items() if key[0] == KIND})
        if models:
            await ensure_runtime("managed", list(models.values()), output.progress)
        await _serve(registry, new, present, output, timeout)
        output.done()
        names = [name for kind, name in wanted if kind in (SERVICE, PIPELINE)]
        print("serving " + ", ".join(sorted({name for kind, name in new if kind != APP})))
        typed, mounted = names_of(registry.catalog, names)
        calls = await example_requests(state.address, state.http, typed, mounted)
        calls = calls or await example_calls(state.address, typed)
        if calls:
            print("call it:\n  " + "\n  ".join(calls))
    finally:
        output.done()
        await registry.close()


async def _serve(
    registry: RemoteRegistry,
    new: Wanted,
    present: Mapping[DocumentKey, Document],
    output: Output,
    timeout: float,
) -> None:
    written = _Written(registry)
    standing = Standing()
    watching = asyncio.create_task(follow_problems(registry, standing), name="watch problems")
    try:
        for pipelines in (False, True):  # those are checked against what they call, so they come once that is served
            part = {key: spec for key, spec in new.items() if (key[0] == PIPELINE) is pipelines}
            names = {name for _, name in part}
            for key, spec in part.items():
                await written.put(key, spec, present.get(key))

            def trouble(names: set[str] = names, passing: bool = pipelines) -> dict[str, str]:
                found = standing.long(registry.catalog) if passing else standing.now
                return {name: why for name, why in found.items() if name in names}

            await wait_until_served(registry, part, trouble, output.progress, timeout)
    except (InferloomError, asyncio.CancelledError):
        await written.undo()
        raise
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def additions(wanted: Wanted, present: Mapping[DocumentKey, Document]) -> Wanted:
    """What is to be written of these: versions beside those that are there; models that are there already stay as they are.

    Raises:
        InvalidInput: a name, or a version of it, is taken.
    """
    new: Wanted = {}
    taken = {name: kind for kind, name in present if kind in (KIND, SERVICE, PIPELINE)}
    for (kind, name), spec in wanted.items():
        known = present.get((kind, name))
        if kind != APP and known is None and name in taken:
            raise InvalidInput(f"{kind} '{name}': the mesh has a {taken[name]} of this name; rename one")
        if known is None or known.spec is None:
            new[kind, name] = spec
        elif kind == APP:
            if known.spec.get("source") != spec["source"]:
                raise InvalidInput(
                    f"{name}.py is served already, from {known.spec.get('source')}: rename one of the files"
                )
        elif kind == PIPELINE:
            if {**known.spec} != {**spec}:
                raise InvalidInput(
                    f"there is a pipeline '{name}' already: change it with `inferloom apply`, or rename it"
                )
        else:
            merged = _beside(kind, name, known.spec, spec)
            if merged != known.spec:
                new[kind, name] = merged
    return new


async def forget_apps(registry: RemoteRegistry) -> None:
    """Take out the files of which nothing is served any more, unless pipelines may still name their steps."""
    documents = await anext(aiter(registry.documents.watch()))
    if any(kind == PIPELINE for kind, _ in documents):
        return
    used = {
        version.get("source")
        for (kind, _), document in documents.items()
        if kind == SERVICE
        for version in (document.spec or {}).get("versions", {}).values()
    }
    for (kind, name), document in documents.items():
        if kind == APP and (document.spec or {}).get("source") not in used:
            await registry.documents.put(APP, name, None, expected_version=document.version, author=author())


def _beside(kind: str, name: str, known: Spec, spec: Spec) -> dict[str, Any]:
    """A model's or service's document with the versions of both."""
    versions = dict(known.get("versions", {}))
    for number, version in spec["versions"].items():
        there = versions.get(number)
        if there is not None and there.get("source") != version.get("source"):
            raise InvalidInput(
                f"{kind} '{name}' has a version {number} already, from {there.get('source')}: give this one another, or "
                "remove that one first"
            )
        versions[number] = there or version
    ordered = dict(sorted(versions.items(), key=lambda item: (not item[0].isdecimal(), item[0].zfill(20))))
    return {**known, "versions": ordered}
