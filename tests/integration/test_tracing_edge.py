"""The edge in traces: Envoy's spans above those of the replicas that it reaches itself, and of the router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from textwrap import indent
from typing import Any, NamedTuple

import aiohttp
import grpc
import pytest

from inferloom.mesh.split import KIND
from tests.support.caller import Talk, echo_request, read, stub
from tests.support.edge import Gateway, running_edge
from tests.support.host import eventually
from tests.support.router import Mesh, running_mesh
from tests.support.traced import RPC, Asked, Traced, asked, traced_servers, tracing_as

SHOWN = ("model", "version", "replica", "attempt", "arm", "mirror")
ECHO = """\
    triton  InferRequest  server
      triton  echo  server
        triton  compute  server
"""


class Scene(NamedTuple):
    """A mesh with its edge, and a stub of the edge."""

    mesh: Mesh
    gateway: Gateway
    face: Any


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_servers(tmp_path_factory.mktemp("traced")) as found:
        yield found


@asynccontextmanager
async def edge_of(traced: Traced, patch: pytest.MonkeyPatch, *arms: dict[str, Any]) -> AsyncIterator[Scene]:
    """An edge in front of one Triton, which traces only what asks for it, and `versioned` split into the arms, if any."""
    patch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    otlp = traced.traces.grpc.removeprefix("http://")
    with tracing_as("router", traced.traces, ratio=0.0) as tracing:
        async with running_mesh({"one": traced.one}, tracing=tracing) as mesh:
            if arms:
                await mesh.registry.documents.put(KIND, "versioned", {"arms": list(arms)})
                await eventually(lambda: "versioned" in mesh.router.splitting.splits)
            async with (
                running_edge(mesh, control_options=["--otlp", otlp]) as gateway,
                stub(gateway.address) as face,
            ):
                await gateway.edge.reaches("echo")
                yield Scene(mesh, gateway, face)


async def test_a_call_through_the_edge_is_one_trace_and_one_that_asks_is_traced_at_any_ratio(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with edge_of(traced, monkeypatch) as (_, _, face):

        async def ask() -> Asked:
            caller = asked()
            await face.ModelInfer(echo_request(), metadata=caller.metadata)
            return caller

        async def stream() -> Asked:
            caller = asked()
            async with Talk(face, metadata=caller.metadata) as talk:
                for number in range(2):
                    await talk.say(echo_request([number]))
                    assert read((await talk.hear()).infer_response) == [number]
                await talk.call.done_writing()
                assert await talk.call.code() is grpc.StatusCode.OK
            return caller

        seen = len(traced.traces.spans)
        await face.ModelInfer(echo_request())
        await face.ModelInfer(echo_request(), metadata=(("x-inferloom-trace", "1"),))
        expected = tree("model=echo", "model/echo", ECHO)
        (caller, spans), _ = await asyncio.gather(  # Envoy sends its spans every five seconds
            traced.traces.whole(ask, expected, *SHOWN),
            traced.traces.whole(stream, tree("model=echo", "model/echo", ECHO, ECHO), *SHOWN),
        )
        assert caller.top(spans).attributes["grpc.status_code"] == "0"
        (own,) = [each for each in traced.traces.spans[seen:] if (each.service, each.parent) == ("inferloom-edge", "")]
        await traced.traces.are(own.trace, expected, *SHOWN)  # Triton's part as above


async def test_arms_are_named_by_the_edge_and_json_and_mirrors_go_on_in_the_router(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm, mirror = {"name": "old", "share": 1, "version": "1"}, {"name": "new", "mirror": True, "version": "2"}
    async with (
        edge_of(traced, monkeypatch, arm) as (mesh, gateway, face),
        aiohttp.ClientSession() as session,
    ):

        async def json() -> Asked:
            caller = asked()
            url = f"http://{gateway.address}/v1/echo"
            async with session.post(url, json={"rows": [{"x": [1, 2]}]}, headers=dict(caller.metadata)) as answer:
                assert answer.status == 200, await answer.text()
            return caller

        async def versioned(version: str) -> Asked:
            caller = asked()
            await face.ModelInfer(versioned_request(version), metadata=caller.metadata)
            return caller

        await json()  # it learns the model's metadata
        await gateway.edge.reaches("versioned")
        triton = ECHO.replace("echo", "versioned")
        below = f"""\
    inferloom-router  POST /v1/{{target}}  server
      inferloom-router  call echo  internal  model=echo
        inferloom-router  {RPC}  client  model=echo version=1 replica=one attempt=1
{indent(ECHO, "      ")}"""
        split = tree("model=versioned arm=old", "model/versioned", triton)
        named = tree("model=versioned version=2", "model/versioned", triton)
        await asyncio.gather(
            traced.traces.whole(json, tree("model=-", "mesh-http", below), *SHOWN),
            traced.traces.whole(lambda: versioned(""), split, *SHOWN),
            traced.traces.whole(lambda: versioned("2"), named, *SHOWN),
        )

        await mesh.registry.documents.put(KIND, "versioned", {"arms": [arm, mirror]})
        while "versioned" in await asyncio.to_thread(gateway.edge.routes):
            await asyncio.sleep(0.02)
        triton = indent(triton, "    ")
        below = f"""\
    inferloom-router  {RPC}  server  model=versioned arm=old
      inferloom-router  {RPC}  client  model=versioned version=1 replica=one attempt=1 arm=old
{triton}\
      inferloom-router  {RPC}  client  model=versioned version=2 replica=one arm=new mirror=true
{triton}"""
        await traced.traces.whole(lambda: versioned(""), tree("model=versioned", "mesh-router", below), *SHOWN)


def versioned_request(version: str) -> Any:
    request = echo_request(model="versioned")
    request.model_version = version
    return request


def tree(tags: str, cluster: str, *below: str) -> str:
    """The edge's two spans of a request with the same tags, and what is below them."""
    top = f"inferloom-edge  ingress  server  {tags}\n  inferloom-edge  router {cluster} egress  client  {tags}\n"
    return top + "".join(below)
