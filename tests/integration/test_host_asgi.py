"""A FastAPI application as a service: behind the proxy, with handles, lifespan, deadline and trace context."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest
from aiohttp import web

from inferloom.mesh.oip import pb
from inferloom.services.host.host import Host
from inferloom.services.host.proxy import Mounts
from tests.support.caller import infer_request, stub
from tests.support.host import eventually, running_host, write_app
from tests.support.router import Mesh, Server, running_mesh

APP = """
    import asyncio
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager
    from typing import Annotated

    import numpy as np
    from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel

    from inferloom.sdk import model, service
    from inferloom.services.context import current

    seen: list[str] = []
    echo = model("echo")
    slow = model("slow")


    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        seen.append("up")
        yield
        seen.append("down")


    app = FastAPI(lifespan=life)


    class Values(BaseModel):
        x: list[float]


    async def user(authorization: Annotated[str, Header()] = "") -> str:
        if authorization != "Bearer secret":
            raise HTTPException(401, "who are you?")
        return "ada"


    @app.post("/double")
    async def double(values: Values, who: Annotated[str, Depends(user)]) -> dict[str, object]:
        out = await echo(x=np.array([values.x], np.float32))
        return {"y": (2 * out["y"][0]).tolist(), "who": who, "trace": dict(current.get().metadata).get("traceparent")}


    @app.get("/slow/{key}")
    async def slowly(key: int) -> int:
        await slow(seconds=np.array([[8.0]], np.float32), key=np.array([[key]], np.int32))
        return key


    @app.get("/sleep")
    async def sleep() -> str:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "slept"


    @app.get("/count")
    async def count() -> StreamingResponse:
        async def numbers() -> AsyncIterator[str]:
            for i in range(5):
                yield f"{i}\\n"
                await asyncio.sleep(0.1)

        return StreamingResponse(numbers(), media_type="text/plain")


    @app.post("/upload")
    async def upload(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])


    async def later() -> None:
        await asyncio.sleep(0.2)
        seen.append("later")


    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> str:
        tasks.add_task(later)
        return "soon"


    @app.get("/about")
    async def about(request: Request) -> dict[str, str]:
        headers = request.headers
        return {
            "path": request.url.path,
            "root": request.scope["root_path"],
            "query": str(request.query_params),
            "for": headers["x-forwarded-for"],
            "host": headers["x-forwarded-host"],
            "hop": headers.get("x-hop", ""),
        }


    api = service(asgi=app, name="Api")
"""


class Face:
    """An HTTP server with the proxy mounted at /NAME/, as that of `up`."""

    def __init__(self, session: aiohttp.ClientSession, address: str, host: Host, mesh: Mesh) -> None:
        self.session = session
        self.address = address
        self.host = host
        self.mesh = mesh

    def url(self, path: str) -> str:
        return f"http://{self.address}/Api/{path}"


@asynccontextmanager
async def proxied(mesh: Mesh) -> AsyncIterator[str]:
    mounts = Mounts(mesh.router)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await mounts.handle(request, request.match_info["name"], request.match_info["tail"])

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{name}/{tail:.*}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await mounts.close()
        await runner.cleanup()


@pytest.fixture
async def face(tmp_path: Path, pair: tuple[Server, Server]) -> AsyncIterator[Face]:
    app = write_app(tmp_path / "web.py", APP)
    async with (
        running_mesh({"a": pair[0]}) as mesh,
        running_host(mesh.registry, app) as host,
        proxied(mesh) as address,
        aiohttp.ClientSession(trust_env=False) as session,
    ):
        await eventually(lambda: "Api" in mesh.router.pool.groups)
        yield Face(session, address, host, mesh)


def seen() -> list[str]:
    found: list[str] = sys.modules["web"].seen
    return found


async def test_a_route_with_authentication_calls_a_model_and_carries_the_trace(face: Face) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"Authorization": "Bearer secret", "traceparent": trace}
    async with face.session.post(face.url("double"), json={"x": [1, 2]}, headers=headers) as answer:
        assert (answer.status, await answer.json()) == (200, {"y": [2.0, 4.0], "who": "ada", "trace": trace})
    async with face.session.post(face.url("double"), json={"x": [1, 2]}) as answer:
        assert (answer.status, await answer.json()) == (401, {"detail": "who are you?"})
    async with face.session.post(face.url("double"), json={"x": ["a"]}, headers=headers) as answer:
        assert answer.status == 422


async def test_the_application_knows_where_it_is_mounted_and_who_called(face: Face) -> None:
    headers = {"Connection": "x-hop, keep-alive", "x-hop": "1"}
    async with face.session.get(face.url("about?a=1&b=%20"), headers=headers) as answer:
        assert await answer.json() == {
            "path": "/Api/about",
            "root": "/Api",
            "query": "a=1&b=+",
            "for": "127.0.0.1",
            "host": face.address,
            "hop": "",
        }
    async with face.session.get(face.url("openapi.json")) as answer:
        assert (await answer.json())["servers"] == [{"url": "/Api"}]


async def test_its_lifespan_is_that_of_the_host(face: Face) -> None:
    said = seen()
    assert said == ["up"]
    await face.host.drain()
    assert said == ["up", "down"]


async def test_answers_and_bodies_stream(face: Face) -> None:
    loop = asyncio.get_running_loop()
    async with face.session.get(face.url("count")) as answer:
        times = [loop.time() async for _ in answer.content]
    assert len(times) == 5
    assert times[-1] - times[0] > 0.3

    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    async with face.session.post(face.url("upload"), data=body()) as answer:
        assert await answer.json() == 4_000_000


async def test_a_deadline_in_a_header_ends_the_request_and_the_model_it_waits_for(
    face: Face, pair: tuple[Server, Server]
) -> None:
    async with face.session.get(face.url("slow/911"), headers={"X-Inferloom-Timeout": "0.4"}) as answer:
        assert answer.status == 504
        assert (await answer.json())["code"] == 4
    await eventually(lambda: 911 in pair[0].log().keys("cancelled"))
    async with face.session.get(face.url("sleep"), headers={"grpc-timeout": "300m"}) as answer:
        assert answer.status == 504
        assert (await answer.json())["message"] == "'Api' did not answer before the deadline"
    await eventually(lambda: "cancelled" in seen())


async def test_a_caller_that_goes_away_cancels_the_request(face: Face) -> None:
    calling = asyncio.create_task(face.session.get(face.url("sleep")))
    await asyncio.sleep(0.3)
    calling.cancel()

    await eventually(lambda: "cancelled" in seen())


async def test_background_tasks_go_on_after_the_answer(face: Face) -> None:
    async with face.session.get(face.url("background")) as answer:
        assert await answer.json() == "soon"
    await eventually(lambda: "later" in seen())


async def test_it_is_ready_like_a_model_and_says_that_it_is_http(face: Face) -> None:
    async with stub(face.mesh.address) as oip:
        assert (await oip.ModelReady(pb.ModelReadyRequest(name="Api"))).ready
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"'Api' is an HTTP application: send HTTP requests to /Api/"
        ) as e:
            await oip.ModelInfer(infer_request("Api", x=[1.0]))
        assert e.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_other_names_are_not_found(face: Face) -> None:
    async with face.session.get(f"http://{face.address}/Apo/about") as answer:
        assert answer.status == 404
        assert (await answer.json())["message"] == "model 'Apo' not found; did you mean Api?"
    async with face.session.get(f"http://{face.address}/echo/about") as answer:
        assert answer.status == 501


async def test_a_replica_that_refuses_is_passed_over(face: Face, tmp_path: Path) -> None:
    from inferloom.mesh.catalog import Kind, Replica
    from inferloom.mesh.listen import free_port

    real = face.mesh.registry.catalog.models["Api"].replicas[0]
    dead = Replica("Api", "dead", "127.0.0.1", real.port, versions=("1",), app_port=free_port(), kind=Kind.SERVICE)
    registration = await face.mesh.registry.register(dead)
    await eventually(lambda: "dead" in face.mesh.router.pool.groups["Api"].endpoints)
    for _ in range(20):
        async with face.session.get(face.url("about")) as answer:
            assert answer.status == 200
    await registration.deregister()
