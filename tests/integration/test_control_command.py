"""`inferloom control` as a command: what it refuses, in one line, and what its status shows."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from inferloom.cli.control import show_status
from inferloom.cli.state import MeshState, announce, withdraw
from inferloom.mesh.listen import free_port
from inferloom.v1 import control_pb2 as pb
from inferloom.v1 import control_pb2_grpc

NODE = "prod-inferloom-edge-" + "7d9f8c6b5-x2k4p" * 5
VERSION = "1732125851.442-" + "0123456789abcdef" * 4
WITHOUT = "import sys; sys.modules['envoy_data_plane'] = None; from inferloom.cli.main import main; main()"
STATIC = ("control", "--registry", "static:iris=127.0.0.1:1", "--admin", "127.0.0.1:0")


async def run(*argv: str) -> tuple[int | None, str]:
    """Exit status, and what it says on stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=pipe, stderr=pipe)
    _, error = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, error.decode()


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (("-c", WITHOUT, *STATIC), 2, "pip install 'inferloom[edge]'"),
        (("-m", "inferloom.cli", *STATIC, "--grpc", "0.0.0.0:0"), 2, "a control plane listens on loopback"),
        (("-m", "inferloom.cli", *STATIC, "--router", "nowhere"), 2, "--router: 'nowhere' is no HOST:PORT"),
        (
            ("-m", "inferloom.cli", "control", "status", "--control", f"127.0.0.1:{free_port()}"),
            3,
            "start one with `inferloom control`",
        ),
    ],
    ids=["without envoy-data-plane", "reachable from elsewhere", "a wrong address", "status of nobody"],
)
async def test_what_cannot_be_is_said_in_one_line(argv: tuple[str, ...], status: int, says: str) -> None:
    code, error = await run(*argv)
    assert code == status
    assert says in error
    assert len(error.strip().splitlines()) == 1


class Told(control_pb2_grpc.ControlServiceServicer):
    """A control plane with one edge, whose names are longer than a terminal's width has room for."""

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse:  # noqa: N802
        kind = pb.TypeStatus(type="routes", acked_version=VERSION, resources=7, acks=3)
        return pb.StatusResponse(edges=[pb.EdgeStatus(node=NODE, zone="eu/a", types=[kind])], models=2, fresh=True)


async def test_status_finds_the_mesh_that_runs_here_and_cuts_nothing_where_stdout_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path))
    monkeypatch.delenv("INFERLOOM_MESH", raising=False)
    server = grpc.aio.server()
    control_pb2_grpc.add_ControlServiceServicer_to_server(Told(), server)  # type: ignore[no-untyped-call]
    where = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    path = announce(MeshState("127.0.0.1:1", os.getpid(), None, control=where))
    try:
        assert await show_status(None)
    finally:
        withdraw(path)
        await server.stop(0)
    title, heads, row = capsys.readouterr().out.splitlines()
    assert title == f"control {where}, 1 edge, 2 models"
    assert heads.split() == ["EDGE", "ZONE", "TYPE", "RESOURCES", "VERSION", "ACKED", "REFUSED", "STATE"]
    assert row.split() == [NODE, "eu/a", "routes", "7", VERSION, "3", "0", "in", "force"]
