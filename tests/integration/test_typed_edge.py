"""The typed faces through the edge: the same answers, statuses and details as from the router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from tests.support.edge import running_edge
from tests.support.router import Server, running_server
from tests.support.typed import TypedMesh, raw, running_typed, stub, violations

ECHO = "inferloom.models.echo.v1.EchoService"
REQUESTS: list[tuple[str, Any]] = [
    ("/v1/echo", {"rows": [{"x": [1, 2]}]}),
    ("/v1/echo", {"rows": [{"x": ["1"]}], "more": 1}),
    ("/v1/echo", {"rows": []}),
    ("/v1/echo", b'{"rows": ['),
    ("/v1/ecko", {}),
    ("/v1/tokens", {"count": -1, "seconds": 0}),
    ("/v1/echo:other", {}),
    ("/v1/echo?version=9", {"rows": [{"x": [1]}]}),
]


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("edge"), ["echo", "tokens"]) as server:
        yield server


@pytest.fixture
async def both(triton: Server) -> AsyncIterator[tuple[TypedMesh, TypedMesh]]:
    """The router's own ports, and the edge's."""
    async with (
        running_typed({"a": triton}) as typed,
        running_edge(typed.mesh) as gateway,
        grpc.aio.insecure_channel(gateway.address) as channel,
    ):
        yield typed, replace(typed, base=f"http://{gateway.address}", channel=channel)


async def test_typed_calls_are_the_same_through_the_edge(both: tuple[TypedMesh, TypedMesh]) -> None:
    router, edge = both
    for path, body in REQUESTS:
        assert await edge.post(path, body) == await router.post(path, body), path
    assert (await edge.http.get(f"{edge.base}/openapi.json")).status == 200
    async with edge.http.post(f"{edge.base}/v1/tokens", json={"count": 2, "seconds": 0}) as answer:
        assert await answer.text() == '{"token":0}\n{"token":1}\n'
    target = edge.base.removeprefix("http://")
    echo = await asyncio.to_thread(stub, target, ECHO, edge.channel)
    values = np.random.default_rng(0).random(300_000, np.float32)
    request = echo.PredictRequest(rows=[{"x": values}])
    np.testing.assert_array_equal(np.array((await echo.Predict(request)).rows[0].y, np.float32), values)
    for channel in (router.channel, edge.channel):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await raw(channel, f"/{ECHO}/Predict", echo.PredictRequest(rows=[{}]).SerializeToString())
        assert error.value.code() is StatusCode.INVALID_ARGUMENT
        assert violations(error.value) == {"rows[0].x": "is missing"}
