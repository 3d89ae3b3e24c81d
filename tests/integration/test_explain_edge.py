"""Requests that Envoy sends to replicas itself, as `inferloom explain` and `inferloom top` show them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import numpy as np
import pytest
from grpc import StatusCode

from inferloom.cli.explain import explain
from inferloom.cli.top import top
from inferloom.clients.channel import Endpoint
from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.ports import free_ports
from inferloom.v1 import explain_pb2 as pb
from inferloom.v1 import explain_pb2_grpc
from tests.support.caller import echo_request, infer_request, slow_request, stub
from tests.support.edge import Control, Gateway, running_edge
from tests.support.faulty import Faulty, failing
from tests.support.host import eventually, running_host, write_app
from tests.support.load import outcome_of
from tests.support.rest import rest_mesh
from tests.support.router import Mesh, Server, running_mesh

TRACE = "0af7651916cd43dd8448eb211c80319c"
ARMS = [{"name": "old", "share": 0, "version": "1"}, {"name": "new", "share": 100, "version": "2"}]
APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import service, shape

    Row = Annotated[npt.NDArray[np.float32], shape(-1, 2)]


    @service
    async def broken(x: Row) -> Row:
        raise ValueError("no such thing")
"""


def named(request_id: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", request_id), *more)


def row(text: str, name: str) -> list[str]:
    """The cells of the first row that has this one."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    return next(cells for cells in rows if name in cells)


async def told(control: Control, count: int) -> dict[str, pb.Explanation]:
    """What a control plane keeps, by id, once it is so much: Envoy sends it in batches."""
    async with grpc.aio.insecure_channel(control.address) as channel:
        ask: Any = explain_pb2_grpc.ExplainServiceStub(channel)  # type: ignore[no-untyped-call]
        end = time.monotonic() + 30
        while True:
            found = (await ask.ListRecent(pb.ListRecentRequest())).requests
            if len(found) >= count:
                assert len(found) == count, found
                return {each.request_id: each for each in found}
            assert time.monotonic() < end, found
            await asyncio.sleep(0.1)


async def bound(gateway: Gateway, milliseconds: str) -> None:
    """Wait until the control plane has told Envoy what is slow."""

    def known() -> bool:
        entries = gateway.edge.get("/runtime?format=json")["entries"]
        return bool(entries.get("inferloom.explain.slow_ms", {}).get("final_value") == milliseconds)

    end = time.monotonic() + 30
    while not await asyncio.to_thread(known):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def promised(mesh: Mesh) -> None:
    await mesh.registry.documents.put("policy", "slow", {"objective": {"latency": "500ms"}, "timeout": "2s"})


async def test_what_only_envoy_saw_is_listed_and_told_by_its_id(
    pair: tuple[Server, Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "app.py", APP)
    async with running_mesh({"a": pair[0]}) as mesh, running_host(mesh.registry, app):
        await promised(mesh)
        await mesh.registry.documents.put("split", "versioned", {"arms": ARMS})
        await mesh.registry.register(Replica("lost", "gone", "127.0.0.1", free_ports(1)[0], versions=("1",)))
        await eventually(lambda: "broken" in mesh.router.pool.groups)
        async with running_edge(mesh) as gateway, stub(gateway.address) as face:
            await asyncio.gather(*(gateway.edge.reaches(name) for name in ("broken", "lost", "slow", "versioned")))
            await bound(gateway, "500")
            x = np.array([[1.0, 2.0]], np.float32)
            trace = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")
            await face.ModelInfer(echo_request(), metadata=named("good"))
            await face.ModelInfer(slow_request(0.0, 1), metadata=named("quick"))
            await face.ModelInfer(slow_request(0.7, 1), metadata=named("slow-1"))
            await face.ModelInfer(echo_request(), metadata=named("asked", ("x-inferloom-explain", "1")))
            assert (await outcome_of(face.ModelInfer(slow_request(3.0, 2), metadata=named("late-1", trace))))[
                0
            ] is StatusCode.DEADLINE_EXCEEDED
            for model, request_id in (("lost", "lost-1"), ("nobody", "nobody-1"), ("broken", "broken-1")):
                code, _ = await outcome_of(face.ModelInfer(infer_request(model, x=x), metadata=named(request_id)))
                assert code is not StatusCode.OK
            await outcome_of(face.ModelInfer(infer_request("versioned", "in-message", z=[1.0])))
            given_up = face.ModelInfer(slow_request(0.5, 3), metadata=named("left-1"))
            await asyncio.sleep(0.1)
            given_up.cancel()

            kept = await told(gateway.control, 6)
            slow, late, lost, left = (kept[each] for each in ("slow-1", "late-1", "lost-1", "left-1"))
            assert (slow.kind, slow.code, slow.replica, slow.version, slow.slow_over_ms) == (
                "slow",
                "OK",
                "a",
                "1",
                500,
            )
            assert slow.layers["replica"] == pytest.approx(700, abs=300)
            assert sum(slow.layers.values()) == pytest.approx(slow.ms, abs=0.5)
            assert (late.code, late.trace_id) == ("DEADLINE_EXCEEDED", TRACE)
            assert (lost.code, lost.replica) == ("UNAVAILABLE", "gone")
            assert [each.code for each in lost.attempts] == ["", "", "UNAVAILABLE"]
            assert lost.attempts[-1].why.startswith("no connection to the replica; no try was left")
            assert (left.code, left.message) == ("CANCELLED", "the caller went away, or its deadline passed")
            split = kept["in-message"]
            assert (split.model, split.split, split.arm, split.version) == ("versioned", "versioned", "new", "2")
            assert split.message.startswith("unexpected inference input 'z'")

            endpoint, control = Endpoint(gateway.address), gateway.control.address

            async def said(request_id: str | None, at: str = control) -> str:
                capsys.readouterr()
                await explain(request_id, endpoint, None, limit=0, json=False, control=at)
                return capsys.readouterr().out

            listed = await said(None)
            ids = [cells[1] for line in listed.splitlines() if len(cells := line.strip("│ ").split("│")) == 6]
            ids = [each.strip() for each in ids]
            assert sorted(each for each in ids if each in {*kept, "asked", "nobody-1", "good", "quick"}) == sorted(
                [*kept, "asked", "nobody-1"]
            ), "each once, and none that was quick"
            assert row(listed, "slow-1")[2:4] == ["slow", "OK"]
            story = await said("slow-1")
            assert story.startswith("slow-1: slow version 1 (ModelInfer), OK after ")
            assert f"told by edge {socket.gethostname()}/{gateway.address}\n" in story
            assert "the last attempt, until the answer's first byte" in story
            inside = await said("broken-1")
            assert "attempt 1 at" in inside
            assert "inside the service broken, on " in inside
            assert "told by router" in await said("nobody-1")
            assert (await said(TRACE)).startswith("late-1: ")
            with pytest.raises(InvalidInput, match="not among the last 200"):
                await said("nobody's")
            nobody = f"127.0.0.1:{free_ports(1)[0]}"
            await explain(None, endpoint, None, limit=0, json=False, control=nobody)
            assert f"what Envoy sends to replicas itself is missing: no control plane answers at {nobody}" in (
                capsys.readouterr().err
            )


async def test_top_shows_the_requests_of_edges(pair: tuple[Server, Server], capsys: pytest.CaptureFixture[str]) -> None:
    async with (
        Faulty("bad", failing(StatusCode.UNAVAILABLE)) as bad,
        running_mesh({"a": pair[0]}) as mesh,
        running_edge(mesh) as gateway,
        stub(gateway.address) as face,
    ):
        await mesh.registry.register(Replica("only", "bad", "127.0.0.1", bad.port, versions=("1",)))
        await asyncio.gather(*(gateway.edge.reaches(name) for name in ("echo", "only", "slow")))
        await outcome_of(face.ModelInfer(infer_request("only", x=[1.0]), metadata=named("only-1")))
        waiting = face.ModelInfer(slow_request(30.0, 9), metadata=named("waits"))
        end = time.monotonic() + 40
        while True:
            for _ in range(3):
                await face.ModelInfer(echo_request())
            capsys.readouterr()
            await top(Endpoint(gateway.address), None, once=True, control=gateway.control.address)
            text = capsys.readouterr().out
            rates = [row(text, name)[3] for name in ("echo", "a 1")]
            if all(each not in ("-", "0.0") for each in rates) and row(text, "slow")[4] == "1":
                break
            assert time.monotonic() < end, text
        waiting.cancel()
        assert row(text, "only")[8] == "1"
        assert row(text, "bad 1")[8] == "3", "attempts"
        assert float(row(text, "echo")[5]) > 0
        assert row(text, "only-1")[2:4] == ["only", "UNAVAILABLE"]


async def test_tokens_guard_what_edges_tell(pair: tuple[Server, Server], tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret")
    options = ("--token-file", str(secret))
    async with (
        running_mesh({"a": pair[0]}) as mesh,
        running_edge(mesh, control_options=options, edge_options=options, tokens=["s3cret"]) as gateway,
        stub(gateway.address) as face,
        grpc.aio.insecure_channel(gateway.control.address) as channel,
    ):
        await gateway.edge.reaches("echo")
        shown = ("authorization", "Bearer s3cret")
        await outcome_of(face.ModelInfer(infer_request("echo", z=[1.0]), metadata=named("r-1", shown)))
        ask: Any = explain_pb2_grpc.ExplainServiceStub(channel)  # type: ignore[no-untyped-call]

        async def kept(*metadata: tuple[str, str]) -> list[str]:
            answer = await ask.ListRecent(pb.ListRecentRequest(), metadata=metadata)
            return [each.request_id for each in answer.requests]

        with pytest.raises(grpc.aio.AioRpcError, match="give --token"):
            await kept()
        await _until(lambda: kept(shown), ["r-1"])


async def _until(asked: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    end = time.monotonic() + 30
    while (found := await asked()) != wanted:
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)


async def test_the_access_log_has_failures_over_grpc_and_rest_and_nothing_that_was_answered(
    pair: tuple[Server, Server], tmp_path: Path
) -> None:
    async with rest_mesh({"a": pair[0]}) as mesh:
        grpc_port, rest_port = free_ports(2)
        await mesh.registry.register(
            Replica("lost", "gone", "127.0.0.1", grpc_port, versions=("1",), http_port=rest_port)
        )
        async with running_edge(mesh, folder=tmp_path) as gateway, stub(gateway.address) as face:
            await gateway.edge.reaches("echo", rest=True)
            await gateway.edge.reaches("lost", rest=True)
            body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
            wrong = {"inputs": [{**body["inputs"][0], "name": "z"}]}
            async with aiohttp.ClientSession(f"http://{gateway.address}") as session:

                async def post(model: str, sent: Any, request_id: str) -> int:
                    headers = {"x-request-id": request_id}
                    async with session.post(f"/v2/models/{model}/infer", json=sent, headers=headers) as answer:
                        return answer.status

                assert await post("echo", body, "rest-good") == 200
                assert await post("echo", wrong, "rest-wrong") == 400
                assert await post("lost", body, "rest-lost") == 503
                for path in ("/v2/models/echo", "/inferloom/v1/models", "/v2/health/ready"):
                    async with session.get(path, headers={"x-request-id": path}) as answer:
                        assert answer.status == 200
            await face.ModelInfer(echo_request(), metadata=named("grpc-good"))
            code, _ = await outcome_of(face.ModelInfer(infer_request("lost", x=[1.0]), metadata=named("grpc-lost")))
            assert code is StatusCode.UNAVAILABLE
            kept = await told(gateway.control, 3)
            assert {each.request_id: (each.code, each.method) for each in kept.values()} == {
                "rest-wrong": ("INVALID_ARGUMENT", "infer"),
                "rest-lost": ("UNAVAILABLE", "infer"),
                "grpc-lost": ("UNAVAILABLE", "ModelInfer"),
            }
            assert kept["rest-wrong"].message == "HTTP status 400; the answer's body is not kept"
            assert kept["rest-wrong"].replica == "a"
            assert kept["rest-lost"].replica == "gone"
    lines = [json.loads(line) for line in (tmp_path / "edge.log").read_text().splitlines() if line.startswith("{")]
    assert {line["request_id"] for line in lines} == {"rest-lost", "grpc-lost"}
