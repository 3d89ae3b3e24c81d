"""Lines to paste, made from the models' metadata."""

from __future__ import annotations

from collections.abc import Sequence

from inferloom.cli.up.output import DEFAULT
from inferloom.clients.aio import MeshClient
from inferloom.clients.example import example_call

__all__ = ["example_calls"]

MOST = 3  # models shown


async def example_calls(address: str, models: Sequence[str]) -> list[str]:
    """A call that works, for the first few models."""
    option = "" if address == DEFAULT else f" --mesh {address}"
    async with MeshClient(address) as mesh:
        return [example_call(await mesh.metadata(name)) + option for name in models[:MOST]]
