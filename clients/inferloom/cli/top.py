"""`inferloom top`: what the mesh looks like now, live in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable

import grpc
from rich.console import Console
from rich.live import Live

from inferloom.cli.explain_ask import Asking, connected
from inferloom.cli.explain_edges import Edges, together
from inferloom.cli.top_keys import pressed
from inferloom.cli.top_look import Look, since
from inferloom.cli.top_view import frame
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import InferloomError
from inferloom.v1 import explain_pb2, mesh_pb2

__all__ = ["look", "top"]

EVERY = 1.0  # seconds between frames
FIRST = 0.5  # seconds between the two looks of the first frame: rates need two
FAILURES = 8  # that are shown
PLAIN = 140  # columns where stdout is no terminal


async def top(endpoint: Endpoint, token: str | None, *, once: bool, control: str = "") -> None:
    """Refresh until q or Ctrl-C; where stdout is no terminal, or with `once`, print one frame.

    Args:
        control: HOST:PORT of the mesh's control plane, or several separated by commas; "": it has none.

    Raises:
        ConfigError: `control` is no address.
        RegistryUnavailable: no mesh answers there, as the first frame is made.
    """
    console = Console(width=None if sys.stdout.isatty() else PLAIN)
    edges = Edges(control, token)
    async with connected(endpoint, token) as mesh:
        before = await look(mesh, edges)
        await asyncio.sleep(FIRST)
        now = since(before, await look(mesh, edges))
        if once or not console.is_terminal:
            console.print(frame(now))
            return
        with pressed("q") as quits, Live(frame(now), console=console, auto_refresh=False, screen=True) as live:
            live.refresh()
            while not await _waited(quits):
                before = now
                try:
                    now = since(before, await look(mesh, edges))
                except InferloomError as error:
                    now = before.gone(str(error))  # it may come back
                live.update(frame(now), refresh=True)


async def look(mesh: Asking, edges: Edges) -> Look:
    """Ask everything that is shown, of the router and of what edges send themselves.

    What does not answer is said in the frame; only the catalog must.

    Raises:
        RegistryUnavailable: no mesh answers there.
    """
    found = Look(mesh.address, await mesh.mesh("ListModels", mesh_pb2.ListModelsRequest(with_load=True)))
    wanted, last = explain_pb2.FiguresRequest(), explain_pb2.ListRecentRequest(limit=FAILURES)
    figures, recent, (of_edges, silent), (told, _) = await asyncio.gather(
        _tried(mesh.explain("Figures", wanted), found),
        _tried(mesh.explain("ListRecent", last), found),
        edges.ask("Figures", wanted),
        edges.ask("ListRecent", last),
    )
    found.edges = of_edges
    found.told.extend(silent)
    if isinstance(figures, explain_pb2.FiguresResponse):
        found.figures = figures
        splits = [
            _tried(mesh.mesh("SplitFigures", mesh_pb2.SplitFiguresRequest(name=name)), found) for name in figures.splits
        ]
        found.splits = [
            each for each in await asyncio.gather(*splits) if isinstance(each, mesh_pb2.SplitFiguresResponse)
        ]
    if isinstance(recent, explain_pb2.ListRecentResponse):
        found.recent = recent
    together(found.recent, told, FAILURES)
    found.told.extend(f"no figures from {address}" for address in found.figures.unanswered)
    return found


async def _tried(asked: Awaitable[object], found: Look) -> object | None:
    try:
        return await asked
    except InferloomError as error:
        found.told.append(str(error))
    except grpc.aio.AioRpcError:
        return None  # a split that has just been removed
    return None


async def _waited(quits: asyncio.Event) -> bool:
    """Whether it is to end."""
    try:
        await asyncio.wait_for(quits.wait(), EVERY)
    except TimeoutError:
        return False
    return True
