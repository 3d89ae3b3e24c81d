"""`inferloom check FILE` and `inferloom apply FILE`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from inferloom.cli.documents.checking import findings_of
from inferloom.cli.documents.kinds import settled
from inferloom.cli.documents.mesh import opened
from inferloom.cli.documents.remarks import remarks
from inferloom.cli.documents.written import Written, written
from inferloom.cli.state import author, find
from inferloom.cli.up.documents import APP, KIND, PIPELINE, SERVICE
from inferloom.mesh.errors import ConfigError, RegistryUnavailable
from inferloom.mesh.registry.base import DocumentKey
from inferloom.mesh.registry.remote import RemoteRegistry

__all__ = ["apply", "check"]

PATIENCE = 10.0  # seconds until new pipelines should be served
ORDER = (KIND, SERVICE, APP, PIPELINE)  # what is called before what calls it; then what shares requests out


async def check(path: Path, *, mesh: str | None, token: str | None) -> bool:
    """Say what is wrong with a file, a line for each thing; False where something is. What is noteworthy is said as well.

    Where no mesh answers, what the file alone tells is checked, and that is said.

    Raises:
        ConfigError, InvalidInput: a document is none; names the line.
    """
    file = await written(path)
    try:
        async with opened(mesh, token) as (state, registry):
            findings = await findings_of(file, registry, state.token)
            noted = remarks(file, registry.catalog.models, gateway=state.may_have_gateway)
    except RegistryUnavailable as error:
        if mesh is not None:
            raise
        _complained(remarks(file, None))
        print(f"{path}: {_counted(file)}; not checked against models: {error}", file=sys.stderr)
        return True
    if _complained(findings):
        return False
    _complained(noted)
    print(f"{path}: {_counted(file)}, nothing wrong")
    return True


async def apply(path: Path, *, mesh: str | None, token: str | None) -> bool:
    """Write a file's documents into a running mesh: all of them, or, where something is wrong, none.

    What is there already is not written again. False where something is wrong.

    Raises:
        ConfigError, InvalidInput: a document is none; names the line.
        Conflict: somebody else has changed one of them meanwhile.
        RegistryUnavailable: no mesh answers.
    """
    host = find(mesh, token).host
    file = await written(path, host)
    async with opened(mesh, token) as (state, registry):
        local = next((key for key in file.documents if key[0] in (KIND, SERVICE, APP)), None)
        if local is not None and not state.host:
            raise ConfigError(
                f"{file.place(local)}: {local[0]} '{local[1]}' is served from files, and no `inferloom up` of yours serves "
                f"{state.address} on this machine: apply it where it runs"
            )
        if _complained(await findings_of(file, registry, state.token)):
            print(f"inferloom: {path}: nothing was applied", file=sys.stderr)
            return False
        _complained(remarks(file, registry.catalog.models, gateway=state.may_have_gateway))
        for key in sorted(file.documents, key=lambda key: ORDER.index(key[0]) if key[0] in ORDER else len(ORDER)):
            await _write(key, file, registry)
        await _answered([name for kind, name in file.documents if kind == PIPELINE], registry)
    return True


async def _write(key: DocumentKey, file: Written, registry: RemoteRegistry) -> None:
    kind, name = key
    present = await registry.documents.get(kind, name)
    before = present.spec if present is not None else None
    spec = settled(kind, name, file.documents[key], before)
    if present is not None and before == spec:
        if kind != APP:
            print(f"{kind} {name}: unchanged (version {present.version})")
        return
    expected = present.version if present is not None else 0
    document = await registry.documents.put(kind, name, spec, expected_version=expected, author=author())
    print(f"{kind} {name}: {'changed, version' if before is not None else 'new, version'} {document.version}")


async def _answered(pipelines: list[str], registry: RemoteRegistry) -> None:
    """Wait until new pipelines are served, so that the next command may call them; say which are not, and why."""
    waiting = dict.fromkeys(pipelines, "no host runs pipelines: `inferloom host --pipelines` does")
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            async for catalog in registry.watch():
                for name in tuple(waiting):
                    model = catalog.models.get(name)
                    if model is not None and model.ready:
                        del waiting[name]
                    elif model is not None:
                        waiting[name] = next(
                            (each.problem for each in model.replicas if each.problem), "it is starting"
                        )
                if not waiting:
                    return
    for name, why in waiting.items():
        print(f"inferloom: pipeline {name} is not served yet: {why}", file=sys.stderr)


def _complained(findings: list[str]) -> bool:
    for finding in findings:
        print(f"inferloom: {finding}", file=sys.stderr)
    return bool(findings)


def _counted(file: Written) -> str:
    kinds = [kind for kind, _ in file.documents if kind != APP]
    return ", ".join(f"{kinds.count(kind)} {_plural(kind, kinds.count(kind))}" for kind in dict.fromkeys(kinds))


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
