"""The running mesh that documents are read from and written to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inferloom.cli.state import MeshState, find
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.remote import RemoteRegistry

__all__ = ["meant", "opened"]


def meant(mesh: str | None, token: str | None) -> MeshState:
    """The mesh that is named, or that runs here. Raises RegistryUnavailable where there is neither."""
    state = find(mesh, token)
    if not (state.pid or state.token or mesh or os.environ.get("INFERLOOM_MESH")):
        raise RegistryUnavailable(
            "no mesh runs here: start one with `inferloom up FILE`, or name one with --mesh HOST:PORT"
        )
    return state


@asynccontextmanager
async def opened(mesh: str | None, token: str | None) -> AsyncIterator[tuple[MeshState, RemoteRegistry]]:
    """The mesh and its registry. Raises RegistryUnavailable where it does not answer."""
    state = meant(mesh, token)
    registry = RemoteRegistry(state.address, token=state.token)
    await registry.start()
    try:
        yield state, registry
    finally:
        await registry.close()
