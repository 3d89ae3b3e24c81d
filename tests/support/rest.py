"""The Open Inference Protocol over REST: a router's HTTP port, and requests to it or to any other server."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from inferloom.cli.http import HttpPort
from inferloom.mesh.listen import Address, free_port
from tests.support.host import eventually
from tests.support.router import Mesh, Server, running_mesh

__all__ = ["Answer", "Rest", "rest_mesh", "rest_of", "rest_port"]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes  # without a content encoding

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one member of an error."""
        ((key, text),) = self.json.items()
        assert key == "error"
        return str(text)


class Rest:
    """Asks one server."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self.address = address

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, None, **headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        """A body that is no bytes goes as JSON; underscores in names of headers stand for dashes."""
        return await self.ask(
            "POST", path, body if isinstance(body, bytes | None) else json.dumps(body).encode(), **headers
        )

    async def ask(self, verb: str, path: str, body: Any, **headers: str) -> Answer:
        named = {"Accept-Encoding": "identity"} | {key.replace("_", "-"): value for key, value in headers.items()}
        url = f"http://{self.address}{path}"
        async with self._session.request(verb, url, data=io.BytesIO(body) if body else body, headers=named) as answer:
            return Answer(answer.status, answer.headers.copy(), await answer.read())


@asynccontextmanager
async def rest_of(address: str) -> AsyncIterator[Rest]:
    """Of a server at HOST:PORT."""
    async with aiohttp.ClientSession() as session:
        yield Rest(session, address)


@asynccontextmanager
async def rest_port(mesh: Mesh, tokens: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """HOST:PORT of the HTTP face of a mesh's router."""
    port = HttpPort(mesh.router, Address("127.0.0.1", free_port()), tokens=tokens)
    try:
        yield str(await port.start())
    finally:
        await port.close()


@asynccontextmanager
async def rest_mesh(servers: Mapping[str, Server]) -> AsyncIterator[Mesh]:
    """A router in front of Tritons whose REST ports are in their records."""
    async with running_mesh() as mesh:
        for name, server in servers.items():
            await mesh.join(name, server, http_port=server.http_port)
        groups = mesh.router.pool.groups
        await eventually(
            lambda: all(m in groups and n in groups[m].endpoints for n, s in servers.items() for m in s.models)
        )
        await mesh.settled()
        yield mesh
