"""The documents of one `up` in a registry that it may share with others, and that may forget them.

They are written when it starts, again when the registry has forgotten them (a Consul in development mode that was started
again), and taken out when it ends: what shall outlast it is in files (see `applied`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from inferloom.cli.state import author
from inferloom.cli.up.documents import APP, KIND, KINDS, SERVICE, SPLIT
from inferloom.cli.up.expand import Wanted
from inferloom.mesh.errors import ConfigError, InferloomError, InvalidInput
from inferloom.mesh.registry.base import Document, DocumentKey, Registry, Spec
from inferloom.mesh.split import Split, settled

__all__ = ["HOSTED", "Mine", "declare", "reassert", "withdraw", "write"]

log = structlog.get_logger(__name__)
HOSTED = (KIND, SERVICE, APP)  # kinds whose documents name the mesh they belong to
EVERY = 5.0  # seconds between looks for what was forgotten
SURE = 1.0  # seconds until it is looked at again: a model that is just being removed looks the same


class Mine:
    """Which documents belong to this mesh, as they were last seen.

    Models, services and files name their mesh. Pipelines, splits and policies do not: of a registry of its own all are its,
    of a shared one those that it has written.

    Args:
        alone: the registry holds no other mesh's.
    """

    def __init__(self, host: str, *, alone: bool) -> None:
        self._host = host
        self._alone = alone
        self._written: set[DocumentKey] = set()
        self.specs: Mapping[DocumentKey, Spec] = {}

    def wrote(self, key: DocumentKey) -> None:
        self._written.add(key)

    def among(self, documents: Mapping[DocumentKey, Document]) -> dict[DocumentKey, Spec]:
        """Those that are its, of all."""
        found = {}
        for (kind, name), document in documents.items():
            spec = document.spec or {}
            if kind not in KINDS:
                continue
            if spec.get("host") == self._host if kind in HOSTED else self._alone or (kind, name) in self._written:
                found[kind, name] = spec
        return found

    async def follow(self, registry: Registry) -> None:
        """Keep `specs` current, for ever."""
        async for documents in registry.documents.watch():
            self.specs = self.among(documents)


async def declare(registry: Registry, wanted: Wanted, host: str, mine: Mine) -> None:
    """Write the documents, and take out what a former run on this address left behind.

    Raises:
        ConfigError: another mesh serves one of the names.
    """
    documents = await anext(aiter(registry.documents.watch()))
    owners = {
        key: str((document.spec or {}).get("host", "")) for key, document in documents.items() if key[0] in HOSTED
    }
    for kind, name in wanted:
        owner = owners.get((kind, name), host)
        if kind == APP and owner != host:
            raise ConfigError(
                f"a file called {name}.py is served by another mesh on this Consul ({owner}): remove it there, or rename it"
            )
        if owner != host and _is_served(registry, name):
            raise ConfigError(
                f"{kind} '{name}' is served by another mesh on this Consul ({owner}): remove it there, or rename this one"
            )
    who = author()
    for (kind, name), owner in owners.items():
        if owner == host and (kind, name) not in wanted:
            await registry.documents.put(kind, name, None, author=who)
    await write(registry, wanted, mine)


async def write(registry: Registry, wanted: Wanted, mine: Mine) -> None:
    """Write the documents; of a split the ranges follow from those it had here before, so that nobody is moved."""
    for key, spec in wanted.items():
        mine.wrote(key)
        if key[0] == SPLIT:
            spec = await _following(registry, key[1], spec)
        await registry.documents.put(*key, spec, author=author())


async def reassert(registry: Registry, mine: Mine) -> None:
    """Write again what the registry has forgotten, for ever."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            for key, spec in tuple(mine.specs.items()):
                if await registry.documents.get(*key) is None:
                    await _write_again(registry, key, spec, mine)
        except InferloomError as error:
            log.info("documents cannot be looked at", error=str(error))


async def withdraw(registry: Registry, mine: Mine) -> None:
    """Take the documents out."""
    try:
        for kind, name in tuple(mine.specs):
            await registry.documents.put(kind, name, None, author=author())
    except InferloomError as error:
        log.warning("documents stay in the registry", error=str(error))


async def _following(registry: Registry, name: str, spec: Spec) -> Spec:
    """A split's spec with the ranges that follow from its newest version, be it one that the last run took out."""
    history = await registry.documents.history(SPLIT, name)
    before = next((document.spec for document in reversed(history) if document.spec is not None), None)
    if before is None:
        return spec
    try:
        Split.from_json(name, before)
    except InvalidInput as error:
        log.warning("the split before cannot be read: units may be moved", split=name, error=str(error))
        return spec
    return settled(name, spec, before)


async def _write_again(registry: Registry, key: DocumentKey, spec: Spec, mine: Mine) -> None:
    await asyncio.sleep(SURE)
    if mine.specs.get(key) is spec and await registry.documents.get(*key) is None:
        log.warning("the registry has forgotten a document, which is written again", kind=key[0], name=key[1])
        await registry.documents.put(*key, spec, expected_version=0, author=author())


def _is_served(registry: Registry, name: str) -> bool:
    model = registry.catalog.models.get(name)
    return model is not None and any(replica.usable for replica in model.replicas)
