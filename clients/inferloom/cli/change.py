"""`inferloom add` and `inferloom remove`: change a running mesh."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from inferloom.cli.change_apps import add_app, forget_apps
from inferloom.cli.split_named import check_not_split
from inferloom.cli.state import MeshState, author, find
from inferloom.cli.up.declared import split_name
from inferloom.cli.up.describe import is_app
from inferloom.cli.up.documents import KIND, NAMED, POLICY, PROBLEM, SERVICE, SPLIT, ModelSpec, VersionSpec
from inferloom.cli.up.examples import example_calls
from inferloom.cli.up.hints_file import hinted
from inferloom.cli.up.output import Output
from inferloom.cli.up.ready import LoadFailed, TooSlow, wait_until_served
from inferloom.cli.up.runtime import ensure_runtime
from inferloom.cli.up.versions import check_versions
from inferloom.mesh.errors import ConfigError, InferloomError, InvalidInput, RegistryUnavailable
from inferloom.mesh.registry.base import Document, Spec
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.sidecar.modelfile.recognise import name_from, recognise

__all__ = ["add", "remove"]

GONE = 60.0  # seconds `remove` waits for what is in flight
UNDONE = 10.0  # seconds


async def add(
    source: Path,
    *,
    mesh: str | None,
    token: str | None,
    name: str | None,
    replicas: int | None,
    gpus: int | None,
    warmup: Path | None,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    timeout: float = 300.0,
) -> None:
    """Add a model, or a version of one, to a running mesh and wait until it is served. If it cannot be, nothing changes.

    Raises:
        InvalidInput: the file is no model, the version is there already, or contradicts the others.
        LoadFailed: it does not load; says why.
        TooSlow: it is not served within `timeout` seconds.
        RegistryUnavailable: no mesh answers.
    """
    app = await is_app(source)
    if app is None:
        recognise(source)
    state = meant(mesh, token)
    if not state.host:
        raise ConfigError(f"no `inferloom up` of yours serves {state.address} on this machine: run `add` where it runs")
    if app is not None:
        given = {"--as": name, "--replicas": replicas, "--gpus": gpus, "--warmup": warmup}
        for option in [
            *(key for key, value in given.items() if value),
            *(["--input or --output"] * bool(inputs or outputs)),
        ]:
            raise ConfigError(f"{option} is for a model file; {source} declares its services itself")
        return await add_app(app, state, timeout=timeout)
    wanted, number = split_name(name or name_from(source))
    version = VersionSpec(source.resolve(), warmup.resolve() if warmup else None, inputs, outputs)
    registry = RemoteRegistry(state.address, token=state.token)
    output = Output()
    await registry.start()
    try:
        before = await registry.documents.get(KIND, wanted)
        if before is None and _is_served(registry, wanted):
            raise InvalidInput(
                f"'{wanted}' is served already, and not by `inferloom up`; or its Consul was just started again and does "
                "not know it yet: then try again in 10 s"
            )
        spec = _changed(wanted, number, version, before, replicas, gpus, state.host)
        check_versions(spec)
        await ensure_runtime("managed", [replace(spec, versions={number or "1": version})], output.progress)
        written = await registry.documents.put(
            KIND,
            wanted,
            spec.to_json(),
            expected_version=before.version if before is not None else 0,
            author=author(),
        )
        problems: dict[str, str] = {}
        watching = asyncio.create_task(_watch_problems(registry, written, problems), name="watch problems")
        try:
            expected = {(KIND, wanted): spec.to_json()}
            await wait_until_served(registry, expected, lambda: problems, output.progress, timeout)
        except (LoadFailed, TooSlow, asyncio.CancelledError):
            await _undo(registry, wanted, before, written)
            raise
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        output.done()
        calls = await example_calls(state.address, [wanted])
        print(f"serving {wanted}:{number or '1'}" + (f" on {spec.replicas} replicas" if spec.replicas > 1 else ""))
        if len(spec.versions) > 1:
            print(f"requests that name no version go on to version {next(iter(spec.versions))}")
            calls = [f"{call} --version {number}" for call in calls]
        print("call it:\n  " + "\n  ".join(calls))
    finally:
        output.done()
        await registry.close()


async def remove(name: str, *, mesh: str | None, token: str | None) -> None:
    """Take a model, service or pipeline, or one version of it, out of a running mesh.

    Returns once what is in flight has been answered.

    Raises:
        InvalidInput: there is none, or a split sends requests to it.
        RegistryUnavailable: no mesh answers.
    """
    state = meant(mesh, token)
    wanted, number = split_name(name)
    registry = RemoteRegistry(state.address, token=state.token)
    await registry.start()
    try:
        before = await _document(registry, wanted)
        after = _without(before, number)
        await check_not_split(registry.documents, wanted, number if after is not None else None)
        await registry.documents.put(before.kind, wanted, after, expected_version=before.version, author=author())
        if after is None:
            await _remove_rules(registry, wanted)
            if before.kind != KIND:
                await forget_apps(registry)
        if not await _gone(registry, wanted, number if after is not None else ""):
            print(f"{name} still has requests in flight and goes when they end", file=sys.stderr)
        print(f"removed {name}")
    finally:
        await registry.close()


async def _remove_rules(registry: RemoteRegistry, name: str) -> None:
    """With the whole model: a new one of this name shall not be treated by what was said of the old one."""
    for kind in (SPLIT, POLICY):
        present = await registry.documents.get(kind, name)
        if present is not None:
            await registry.documents.put(kind, name, None, expected_version=present.version, author=author())
            print(f"removed the {kind} of {name}")


async def _document(registry: RemoteRegistry, name: str) -> Document:
    """What the mesh has of this name. Raises InvalidInput where there is nothing."""
    for kind in NAMED:
        found = await registry.documents.get(kind, name)
        if found is not None and found.spec is not None:
            return found
    if _is_served(registry, name):
        service = name.partition(".")[0]
        if await registry.documents.get(SERVICE, service) is not None:
            raise InvalidInput(
                f"'{name}' is a method of service '{service}': `inferloom remove {service}` takes it all out"
            )
        raise InvalidInput(f"'{name}' is served, but not by an `inferloom up` of this mesh: take it out where it runs")
    near = registry.catalog.near(name)
    raise InvalidInput(f"there is no model '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else ""))


def _without(document: Document, number: str) -> Spec | None:
    """The document without one version of it; None where nothing is left, or no version is named."""
    spec = document.spec or {}
    versions = spec.get("versions", {})
    if number and number not in versions:
        have = f"it has {', '.join(versions)}" if versions else "it has none"
        raise InvalidInput(f"{document.kind} '{document.name}' has no version {number}; {have}")
    rest = {key: version for key, version in versions.items() if key != number}
    return {**spec, "versions": rest} if number and rest else None


def meant(mesh: str | None, token: str | None) -> MeshState:
    """The mesh to change. Raises RegistryUnavailable where none is named and none runs here."""
    state = find(mesh, token)
    if not (state.pid or state.token or mesh or os.environ.get("INFERLOOM_MESH")):
        raise RegistryUnavailable(
            "no mesh runs here: start one with `inferloom up MODEL`, or name one with --mesh HOST:PORT"
        )
    return state


def _is_served(registry: RemoteRegistry, name: str) -> bool:
    model = registry.catalog.models.get(name)
    return model is not None and any(replica.usable for replica in model.replicas)


async def _watch_problems(registry: RemoteRegistry, written: Document, problems: dict[str, str]) -> None:
    """Note why `up` cannot carry out the document as it was written."""
    async for documents in registry.documents.watch(PROBLEM):
        found = documents.get((PROBLEM, written.name))
        if found is not None and found.spec is not None and found.spec.get("version") == written.version:
            problems[written.name] = str(found.spec.get("why"))


async def _gone(registry: RemoteRegistry, name: str, version: str) -> bool:
    """Wait until no replica serves it; "" is every version. False where that takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GONE):
            async for catalog in registry.watch():
                found = [model for key, model in catalog.models.items() if key == name or key.startswith(f"{name}.")]
                replicas = [replica for model in found for replica in model.replicas]
                if not any(version in replica.versions if version else True for replica in replicas):
                    return True
    return False


def _changed(
    name: str,
    number: str,
    version: VersionSpec,
    before: Document | None,
    replicas: int | None,
    gpus: int | None,
    host: str,
) -> ModelSpec:
    if before is None or before.spec is None:
        return hinted(ModelSpec(name, {number or "1": version}, replicas or 1, gpus or 0, host))
    known = ModelSpec.from_json(name, before.spec)
    have = ", ".join(known.versions)
    if not number:
        following = max(int(key) for key in known.versions) + 1
        raise InvalidInput(f"'{name}' is served already (version {have}): add a version with --as {name}:{following}")
    if number in known.versions:
        raise InvalidInput(
            f"'{name}' has a version {number} already (it has {have}): give another, or remove that one first"
        )
    if any(entry.source.is_dir() for entry in known.versions.values()) or version.source.is_dir():
        raise InvalidInput(f"'{name}' comes from a folder in Triton's layout: put the version into that folder")
    versions: Mapping[str, VersionSpec] = {**known.versions, number: version}
    ordered = dict(sorted(versions.items(), key=lambda item: int(item[0])))
    changed = replace(
        known,
        versions=ordered,
        replicas=replicas or known.replicas,
        gpus=known.gpus if gpus is None else gpus,
    )
    return hinted(changed)


async def _undo(registry: RemoteRegistry, name: str, before: Document | None, written: Document) -> None:
    """Write what was there before, and wait until the mesh is so again: another attempt must not see this one's fault."""
    spec = before.spec if before is not None else None
    try:
        await registry.documents.put(KIND, name, spec, expected_version=written.version, author=author())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(UNDONE):
                async for catalog in registry.watch():
                    model = catalog.models.get(name)
                    if model is None or not any(replica.problem for replica in model.replicas):
                        return
    except InferloomError as error:
        print(f"inferloom: could not be taken back: {error}", file=sys.stderr)
