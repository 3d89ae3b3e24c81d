"""The documents of one `up` in a registry that it may share with others, and that may forget them.

They are written when it starts, again when the registry has forgotten them (a Consul in development mode that was started
again), and taken out when it ends: what shall outlast it is in files (see `applied`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import structlog

from inferloom.cli.state import author
from inferloom.cli.up.documents import KIND, ModelSpec
from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.mesh.registry.base import Registry

__all__ = ["declare", "reassert", "withdraw"]

log = structlog.get_logger(__name__)
EVERY = 5.0  # seconds between looks for what was forgotten
SURE = 1.0  # seconds until it is looked at again: a model that is just being removed looks the same

Mine = Callable[[], Mapping[str, ModelSpec]]  # by name, as the documents were last seen


async def declare(registry: Registry, specs: Mapping[str, ModelSpec], host: str) -> None:
    """Write the documents, and take out what a former run on this address left behind.

    Raises:
        ConfigError: another mesh serves one of the models.
    """
    async for documents in registry.documents.watch(KIND):
        present = {name: str((document.spec or {}).get("host", "")) for (_, name), document in documents.items()}
        break
    for name in specs:
        owner = present.get(name, host)
        if owner != host and _is_served(registry, name):
            raise ConfigError(
                f"model '{name}' is served by another mesh on this Consul ({owner}): remove it there, or rename this one"
            )
    who = author()
    for name, owner in present.items():
        if owner == host and name not in specs:
            await registry.documents.put(KIND, name, None, author=who)
    for name, spec in specs.items():
        await registry.documents.put(KIND, name, spec.to_json(), author=who)


async def reassert(registry: Registry, mine: Mine) -> None:
    """Write again what the registry has forgotten, for ever."""
    while True:
        await asyncio.sleep(EVERY)
        try:
            for name, spec in tuple(mine().items()):
                if await registry.documents.get(KIND, name) is None:
                    await _write_again(registry, spec, mine)
        except InferloomError as error:
            log.info("documents cannot be looked at", error=str(error))


async def withdraw(registry: Registry, mine: Mine) -> None:
    """Take the documents out."""
    try:
        for name in mine():
            await registry.documents.put(KIND, name, None, author=author())
    except InferloomError as error:
        log.warning("documents stay in the registry", error=str(error))


async def _write_again(registry: Registry, spec: ModelSpec, mine: Mine) -> None:
    await asyncio.sleep(SURE)
    if mine().get(spec.name) is spec and await registry.documents.get(KIND, spec.name) is None:
        log.warning("the registry has forgotten a document, which is written again", name=spec.name)
        await registry.documents.put(KIND, spec.name, spec.to_json(), expected_version=0, author=author())


def _is_served(registry: Registry, name: str) -> bool:
    model = registry.catalog.models.get(name)
    return model is not None and any(replica.usable for replica in model.replicas)
