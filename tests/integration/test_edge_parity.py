"""The same requests through the router and through the edge: the same answers and codes.

What differs on purpose is named here, and in docs/data-planes.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
import pytest

from tests.support.caller import stub
from tests.support.edge import Gateway, running_edge
from tests.support.parity_calls import CALLS, Outcome, plain
from tests.support.parity_requests import REQUESTS, ask
from tests.support.router import Mesh, Server, running_mesh

# What an edge answers in words of its own, with the same code; and one call that ends otherwise.
OWN_WORDS = ("a deadline that passes", "more than a message may have")
NO_MESSAGE = Outcome("INVALID_ARGUMENT", "did not receive enough data to form a message.")
# Of a model's REST requests, what is wrong with a body is told by Triton itself: its words, and 500 for what it cannot parse.
TRITONS_OWN = ("text that is no JSON", "an input of another type", "an input of another shape")
CLIMBS = "a path that climbs"  # an edge makes paths plain before it looks at them
MODELS = ("echo", "versioned", "slow", "tokens", "sequence")


@dataclass
class Chain:
    mesh: Mesh
    gateway: Gateway


@pytest.fixture
async def chain(pair: tuple[Server, Server]) -> AsyncIterator[Chain]:
    async with running_mesh() as mesh:
        for name, server in zip(("one", "two"), pair, strict=True):
            await mesh.join(name, server, http_port=server.http_port)
        await mesh.settled()
        async with running_edge(mesh) as gateway:
            for model in MODELS:
                await gateway.edge.reaches(model, 2)
            yield Chain(mesh, gateway)


async def test_grpc_calls_have_the_same_answers_and_codes(chain: Chain) -> None:
    assert len(CALLS) >= 40
    async with stub(chain.mesh.address) as router, stub(chain.gateway.address) as edge:
        differ = {}
        for name, call in CALLS.items():
            here, there = plain(await call(router)), plain(await call(edge))
            if name in OWN_WORDS:
                here, there = Outcome(here.code), Outcome(there.code)
            if name == "a stream with no message":
                here = NO_MESSAGE
            if here != there:
                differ[name] = (here, there)
        assert not differ, table(differ)


async def test_http_requests_have_the_same_answers_and_codes(chain: Chain) -> None:
    await asyncio.gather(*(chain.gateway.edge.reaches(model, 2, rest=True) for model in ("echo", "versioned")))
    async with aiohttp.ClientSession() as session:
        differ = {}
        for name, request in REQUESTS.items():
            here = await ask(session, chain.gateway.http, request)
            there = await ask(session, chain.gateway.address, request)
            if name in TRITONS_OWN:
                assert (here[0], there[0]) == (400, 500), name
                here, there = (0, here[1], sorted(here[2])), (0, there[1], sorted(there[2]))
            if name == CLIMBS:
                assert (here[0], there[0]) == (404, 200)
                continue
            if here != there:
                differ[name] = (here, there)
        assert not differ, table(differ)


def table(differ: Mapping[str, tuple[object, object]]) -> str:
    return "\n".join(f"{name}:\n  router {str(a)[:400]}\n  edge   {str(b)[:400]}" for name, (a, b) in differ.items())
