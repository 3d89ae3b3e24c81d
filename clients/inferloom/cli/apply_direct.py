"""`inferloom export apply FILE`: documents written straight into a registry, by the chart's Job.

`inferloom apply` speaks to a running mesh and refuses what cannot run now. A release has just been installed, so its models
may still load: this one asks through a router of its own, and waits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from inferloom.cli.documents.checking import check_pipelines
from inferloom.cli.documents.kinds import settled
from inferloom.cli.registry import open_registry
from inferloom.cli.state import author, new_token
from inferloom.cli.up.documents import KIND, KINDS, PIPELINE, SERVICE, ModelSpec
from inferloom.cli.up.service_spec import ServiceSpec
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.listen import Address
from inferloom.mesh.names import is_name
from inferloom.mesh.registry.base import DocumentKey, Registry, Spec
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.server import RouterServer, ServerSettings

__all__ = ["apply_directly", "read_documents"]

AGAIN = 2.0  # seconds between looks whether what pipelines name is there
ORDER = (KIND, SERVICE, PIPELINE)  # what is called before what calls it; then what shares requests out


async def apply_directly(path: Path, registry: str, sources: frozenset[Path], wait: float) -> bool:
    """Write a file's documents once its pipelines can run: all of them, or none. What is there already is left as it is.

    Args:
        path: JSON, a list of {kind, name, spec} as they are stored; or the YAML that `inferloom export helm` prints.
        sources: Python files with the functions that the pipelines name.
        wait: seconds for what they name.

    Raises:
        ConfigError: the file is none.
        RegistryUnavailable: the registry does not answer.
    """
    documents = read_documents(path)
    source = open_registry(registry, control="")
    router = Router(source)
    token = new_token()
    server = RouterServer(router, ServerSettings(address=Address("127.0.0.1", 0), write_token=token))
    try:
        await router.start()
        remote = RemoteRegistry(str(await server.start()), token=token)
        try:
            await remote.start()
            if not await _can_run(documents, sources, remote, token, path, wait, SYSTEM):
                return False
            for key in sorted(documents, key=lambda key: ORDER.index(key[0]) if key[0] in ORDER else len(ORDER)):
                print(await _write(key, documents[key], source), flush=True)
        finally:
            await remote.close()
    finally:
        await server.drain(0)
        await router.close()
        await source.close()
    return True


def read_documents(path: Path) -> dict[DocumentKey, Spec]:
    """Raises ConfigError: it cannot be read, or an entry is no document."""
    try:
        text = path.read_text()
        entries = yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if isinstance(entries, dict) and "documents" in entries:  # values of the chart
        entries = entries["documents"]
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: must be a list of documents, each with kind, name and spec")
    found: dict[DocumentKey, Spec] = {}
    for number, entry in enumerate(entries, 1):
        kind, name, spec = _envelope(entry, f"{path}: document {number}")
        if (kind, name) in found:
            raise ConfigError(f"{path}: {kind} '{name}' is there twice")
        found[kind, name] = spec
    return found


def _envelope(entry: Any, where: str) -> tuple[str, str, Spec]:
    if not isinstance(entry, Mapping) or entry.keys() != {"kind", "name", "spec"}:
        raise ConfigError(f"{where} must have kind, name and spec, and nothing else")
    kind, name, spec = entry["kind"], entry["name"], entry["spec"]
    if kind not in KINDS or not isinstance(name, str) or not is_name(name) or not isinstance(spec, Mapping):
        raise ConfigError(f"{where} ({kind} {name}): unknown kind, no name, or a spec that is no mapping")
    try:
        if kind == PIPELINE:
            from inferloom.services.composer.graph import graph_from

            graph_from(spec, name)
        elif kind == KIND:
            ModelSpec.from_json(name, spec)
        elif kind == SERVICE:
            ServiceSpec.from_json(name, spec)
        else:
            settled(kind, name, spec, None)
    except InvalidInput as error:
        raise ConfigError(f"{where}, {kind} '{name}': {error}") from None
    return kind, name, spec


async def _can_run(
    documents: Mapping[DocumentKey, Spec],
    sources: frozenset[Path],
    remote: RemoteRegistry,
    token: str,
    path: Path,
    wait: float,
    clock: Clock,
) -> bool:
    """Whether nothing is wrong with the pipelines, within `wait` seconds. Says what they wait for, once each."""
    pipelines = {name: spec for (kind, name), spec in documents.items() if kind == PIPELINE}
    end, said = clock.now() + wait, set[str]()
    while True:
        findings = await check_pipelines(pipelines, documents, sources, lambda key, node: str(path), remote, token)
        if not findings:
            return True
        late = clock.now() >= end
        for finding in findings if late else (finding for finding in findings if finding not in said):
            print(f"inferloom: {'' if late else 'waiting: '}{finding}", file=sys.stderr, flush=True)
        said.update(findings)
        if late:
            print("inferloom: nothing was applied", file=sys.stderr)
            return False
        await clock.sleep(AGAIN)


async def _write(key: DocumentKey, wanted: Spec, registry: Registry) -> str:
    """A line that says what was done. Raises Conflict where somebody else has just written it."""
    kind, name = key
    present = await registry.documents.get(kind, name)
    before = present.spec if present is not None else None
    spec = settled(kind, name, wanted, before)
    if present is not None and before == spec:
        return f"{kind} {name}: unchanged (version {present.version})"
    expected = present.version if present is not None else 0
    document = await registry.documents.put(kind, name, spec, expected_version=expected, author=author())
    return f"{kind} {name}: {'changed, version' if before is not None else 'new, version'} {document.version}"
