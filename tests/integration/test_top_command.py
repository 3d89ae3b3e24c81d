"""`inferloom top` and `inferloom explain` over a real mesh, and what they say where somebody does not answer."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from inferloom.cli.explain import explain
from inferloom.cli.top import top
from inferloom.clients.channel import Endpoint
from inferloom.mesh.catalog import Kind, Replica
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InvalidInput, RegistryUnavailable
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.mesh_service import MeshService
from inferloom.sidecar.ports import free_ports
from inferloom.v1 import mesh_pb2_grpc
from tests.support.caller import echo_request, infer_request, stub
from tests.support.faulty import Faulty
from tests.support.host import eventually, running_host, write_app
from tests.support.router import Server, running_mesh

CHAIN = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "out", "source": "second.y"}],
    "nodes": [
        {"name": "first", "step": {"model": "echo", "inputs": {"x": "input.x"}}},
        {"name": "second", "step": {"model": "versioned", "inputs": {"x": "first.y"}}},
    ],
}


@asynccontextmanager
async def calling(face: Any, *requests: Any) -> AsyncIterator[None]:
    """Callers who send these, each over and over."""

    async def send(request: Any) -> None:
        while True:
            await face.ModelInfer(request)

    tasks = [asyncio.create_task(send(request)) for request in requests]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def cells(text: str, name: str) -> list[str]:
    """Of the first row that has this cell."""
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[:1] == "│"]
    return next(row for row in rows if name in row)


async def test_top_shows_real_rates_of_models_replicas_and_edges(
    pair: tuple[Server, Server], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "empty.py", "from inferloom.sdk import service\n")
    async with running_mesh({"a": pair[0]}) as mesh, running_host(mesh.registry, app, pipelines=True) as host:
        await mesh.registry.documents.put("pipeline", "chain", CHAIN)
        await mesh.registry.documents.put("split", "versioned", {"arms": [{"name": "1", "share": 100}]})
        await eventually(lambda: "chain" in host.names and "chain" in mesh.router.pool.groups)
        await eventually(lambda: "versioned" in mesh.router.splitting.splits)
        x = np.array([[1.0, 2.0]], np.float32)
        async with stub(mesh.address) as face, calling(face, echo_request(), infer_request("chain", x=x)):
            chain = mesh.router.explainer.paces.get
            await eventually(lambda: (found := chain("chain")) is not None and found.count > 0)
            await face.ModelInfer(echo_request(model="versioned"))
            capsys.readouterr()
            await top(Endpoint(mesh.address), None, once=True)
        text = capsys.readouterr().out
    assert float(cells(text, "echo")[3]) > 1, text
    assert float(cells(text, "echo")[5]) > 0
    assert cells(text, "a 1")[2] == "serving"
    assert cells(text, "versioned")[1] == "1 replica"
    for edge in ("input -> first", "first -> second", "second -> output"):
        assert float(cells(text, edge)[1]) > 1, text
    assert cells(text, "100 %")[:3] == ["versioned", "1", "100 %"]
    assert int(cells(text, "100 %")[3]) > 1
    assert cells(text, "chain")[1] == "1 pipeline"


async def test_a_host_that_does_not_answer_is_named_and_the_rest_is_shown(
    pair: tuple[Server, Server], capsys: pytest.CaptureFixture[str]
) -> None:
    async with Faulty("\xff") as host, running_mesh({"a": pair[0]}) as mesh:
        await mesh.registry.register(Replica("shop", "h", "127.0.0.1", host.port, versions=("1",), kind=Kind.SERVICE))
        await eventually(lambda: "shop" in mesh.router.pool.groups)
        await mesh.settled()
        await top(Endpoint(mesh.address), None, once=True)
        text = capsys.readouterr().out
    assert f"no figures from 127.0.0.1:{host.port}" in text
    assert cells(text, "a 1")[2] == "serving"


async def test_where_no_router_answers_the_catalog_is_shown_and_the_lack_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry = MemoryRegistry()
    await registry.start()
    await registry.register(Replica("echo", "a", "127.0.0.1", 9, versions=("1",)))
    server = grpc.aio.server()
    service = MeshService(registry, SYSTEM)
    mesh_pb2_grpc.add_MeshServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        await top(Endpoint(address), None, once=True)
    finally:
        await service.close()
        await server.stop(None)
        await registry.close()
    text = capsys.readouterr().out
    assert "nothing of this release answers there" in text
    assert cells(text, "echo")[1] == "1 replica"


async def test_without_a_mesh_both_say_so_in_one_line() -> None:
    nobody = Endpoint(f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(RegistryUnavailable, match=r"no mesh answers at .*: start one with `inferloom up`"):
        await top(nobody, None, once=True)
    with pytest.raises(RegistryUnavailable, match="no mesh answers at"):
        await explain(None, nobody, None, limit=5, json=False)


async def test_q_ends_the_live_view_and_leaves_the_terminal_as_it_was(pair: tuple[Server, Server]) -> None:
    async with running_mesh({"a": pair[0]}) as mesh:
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inferloom.cli", "top", "--mesh", mesh.address),
            stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(ours, False)
        seen = bytearray()
        try:
            async with asyncio.timeout(30):
                while b"echo" not in seen:
                    seen += await _readable(ours)
                os.write(ours, b"q")
                while process.returncode is None:
                    seen += await _readable(ours)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            os.close(ours)
    assert process.returncode == 0
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1, "the screen before is back"


async def _readable(place: int) -> bytes:
    await asyncio.sleep(0.01)
    with suppress(BlockingIOError, OSError):
        return os.read(place, 65536)
    return b""


async def test_explain_lists_what_failed_and_tells_one_by_its_id(
    pair: tuple[Server, Server], capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_mesh({"a": pair[0]}) as mesh:
        endpoint = Endpoint(mesh.address)
        async with stub(mesh.address) as face:
            with pytest.raises(grpc.aio.AioRpcError):
                await face.ModelInfer(infer_request("echo", "r-7"))
        await explain(None, endpoint, None, limit=5, json=False)
        listed = capsys.readouterr().out
        await explain("r-7", endpoint, None, limit=5, json=False)
        story = capsys.readouterr().out
        await explain("r-7", endpoint, None, limit=5, json=True)
        assert '"code": "INVALID_ARGUMENT"' in capsys.readouterr().out
        with pytest.raises(InvalidInput, match=r"not among the last 200 .*`inferloom explain` lists"):
            await explain("nobody's", endpoint, None, limit=5, json=False)
    assert cells(listed, "r-7")[2:4] == ["echo", "INVALID_ARGUMENT"]
    assert story.startswith("r-7: echo version 1 (ModelInfer), INVALID_ARGUMENT after ")
    assert "attempt 1 at a (" in story
