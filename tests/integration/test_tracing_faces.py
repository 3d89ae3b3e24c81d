"""The other faces of a router in traces: typed services, JSON, REST, and an application behind the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.host import running_host, write_app
from tests.support.traced import Asked, Traced, asked, traced_servers, tracing_as
from tests.support.typed import TypedMesh, running_typed, stub

SHOWN = ("model", "attempt", "cancelled")
APP = """
    from inferloom.sdk import service


    @service
    async def shout(text: str) -> str:
        return text.upper()
"""
TRITON = """
      triton  InferRequest  server
        triton  echo  server
          triton  compute  server
"""


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_servers(tmp_path_factory.mktemp("traced")) as found:
        yield found


@asynccontextmanager
async def faces_of(traced: Traced) -> AsyncIterator[TypedMesh]:
    with tracing_as("router", traced.traces) as tracing:
        async with running_typed({"one": traced.one}, tracing) as mesh:
            yield mesh


async def test_json_and_rest_are_server_spans_of_http(traced: Traced) -> None:
    async with faces_of(traced) as mesh:
        await mesh.post("/v1/echo", {"rows": [{"x": [1, 2]}]})  # it learns the model's metadata

        async def ask() -> Asked:
            caller = asked()
            status, _ = await mesh.post("/v1/echo", {"rows": [{"x": [1, 2]}]}, **dict(caller.metadata))
            assert status == 200
            return caller

        expected = f"""
inferloom-router  POST /v1/{{target}}  server
  inferloom-router  call echo  internal  model=echo
    inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1
{TRITON.strip(chr(10))}
"""
        caller, spans = await traced.traces.whole(ask, expected, *SHOWN)
        assert caller.top(spans).attributes["http.response.status_code"] == 200

        async def rest() -> Asked:
            caller = asked()
            inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]
            status, _ = await mesh.post("/v2/models/echo/infer", {"inputs": inputs}, **dict(caller.metadata))
            assert status == 200
            return caller

        await traced.traces.whole(rest, expected.replace("/v1/{target}", "/v2/models/{model}/infer"), *SHOWN)


async def test_a_typed_call_is_the_span_of_its_own_service(traced: Traced) -> None:
    async with faces_of(traced) as mesh:
        await mesh.faces.settled(10.0)
        service = "inferloom.models.echo.v1.EchoService"
        echo = await asyncio.to_thread(stub, mesh.mesh.address, service, mesh.channel)
        request = echo.PredictRequest(rows=[{"x": [1, 2]}])

        async def ask() -> Asked:
            caller = asked()
            await echo.Predict(request, metadata=caller.metadata)
            return caller

        expected = f"""
inferloom-router  {service}/Predict  server
  inferloom-router  call echo  internal  model=echo
    inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1
{TRITON.strip(chr(10))}
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_json_of_a_service_goes_on_in_its_host(traced: Traced, tmp_path: Path) -> None:
    app = write_app(tmp_path / "shouting.py", APP)
    with tracing_as("host", traced.traces) as inside:
        async with faces_of(traced) as mesh, running_host(mesh.mesh.registry, app, inside):
            await mesh.post("/v1/shout", {"text": "a"})
            caller = asked()
            status, answer = await mesh.post("/v1/shout", {"text": "hello"}, **dict(caller.metadata))
            assert (status, answer) == (200, "HELLO"), answer
            expected = """
inferloom-router  POST /v1/{target}  server
  inferloom-router  call shout  internal  model=shout
    inferloom-router  inferloom.v1.TypedService/Call  client  model=shout attempt=1
      inferloom-host  inferloom.v1.TypedService/Call  server  model=shout
"""
            await traced.traces.are(caller.trace, expected, *SHOWN)
