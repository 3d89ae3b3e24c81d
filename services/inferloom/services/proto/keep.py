"""Locks in the mesh's documents: what is served and what `inferloom codegen` writes have the same field numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from inferloom.mesh.errors import Conflict, InferloomError, InvalidInput
from inferloom.mesh.registry.base import Document, Documents
from inferloom.services.proto.face import Face
from inferloom.services.proto.lock import KIND, Lock, at_major, numbered

__all__ = ["AUTHOR", "Build", "keep", "lock_of"]

log = structlog.get_logger(__name__)

AUTHOR = "inferloom"
_TRIES = 5

Build = Callable[[str, Collection[str]], Face]
"""A face from the part of its package that a lock knows ("": none yet), and those that others have."""


def lock_of(document: Document | None) -> Lock | None:
    """The lock in a document; None where there is none, or what is there cannot be read."""
    if document is None or document.spec is None:
        return None
    try:
        return Lock.from_json(document.spec, f"document {document.kind} '{document.name}'")
    except InvalidInput as error:
        log.warning("field numbers begin anew", why=str(error))
        return None


async def keep(documents: Documents, name: str, build: Build) -> Face:
    """The face of a name with its numbers, which are written down.

    A mesh serves what is there now: where that breaks the stubs callers have, it goes on as package v2. Where the
    documents cannot be written, numbers are as they would have been.
    """
    for _ in range(_TRIES):
        document = await documents.get(KIND, name)
        lock = lock_of(document)
        taken = await _taken(documents, name) if lock is None else ()
        face = build(lock.segment if lock else "", taken)
        if lock is not None:
            face = at_major(face, lock.major)
        made, new = numbered(face, lock, bump=True)
        if new == lock:
            return made
        if lock is not None and new.major != lock.major:
            log.warning("a model changed and is served as a new package", model=name, package=made.package)
        try:
            await documents.put(
                KIND, name, new.to_json(), expected_version=document.version if document else 0, author=AUTHOR
            )
        except Conflict:
            continue  # another router of the mesh was quicker
        except InferloomError as error:
            log.warning("field numbers could not be kept", model=name, why=str(error))
        return made
    return made


async def _taken(documents: Documents, name: str) -> frozenset[str]:
    async for found in documents.watch(KIND):
        locks = (lock_of(document) for (_, key), document in found.items() if key != name)
        return frozenset(lock.segment for lock in locks if lock is not None)
    return frozenset()
