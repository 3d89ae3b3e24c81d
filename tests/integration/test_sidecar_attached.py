"""The sidecar beside a Triton that somebody else runs, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from inferloom.mesh.catalog import State
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.process import start
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.sidecar import managed
from inferloom.sidecar.ports import free_ports
from inferloom.sidecar.sidecar import Sidecar
from inferloom.sidecar.triton import TritonClient, TritonError
from tests.support.sidecar import config, infer, running, write_model


@asynccontextmanager
async def foreign_triton(repository: Path) -> AsyncIterator[tuple[int, int]]:
    """(process, gRPC port) of a Triton that no sidecar has started; open for model control."""
    runtime = managed.find()
    http, port, metrics = free_ports(3)
    command = runtime.command(repository=repository, http_port=http, grpc_port=port, metrics_port=metrics)
    child = await start([*command, "--load-model=double"], env=runtime.environment(), name="Triton")
    try:
        client = TritonClient("127.0.0.1", port)
        await client.wait_live(30)
        await client.close()
        yield child.pid, port
    finally:
        await child.stop(10)


async def test_an_attached_triton_is_registered_probed_and_never_ended(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    write_model(tmp_path, "later")
    async with foreign_triton(tmp_path) as (pid, port):
        quick = {"probe_interval": 0.2, "probe_timeout": 0.2}
        async with running(None, triton_url=f"127.0.0.1:{port}", triton_http_port=8000, **quick) as it:
            replica = await it.serving("double", "1")
            assert (replica.port, replica.http_port) == (port, 8000)
            assert await infer(replica) == (2.0, 4.0)
            assert "later" not in it.registry.catalog.models
            client = TritonClient("127.0.0.1", port)
            await client.load("later", None, 30)
            await it.serving("later", "1")
            await client.unload("later", 30)
            async with asyncio.timeout(20):
                async for catalog in it.registry.watch():
                    if "later" not in catalog.models:
                        break
            await client.close()
            os.kill(pid, signal.SIGSTOP)
            out = await it.until("double", lambda r: r.state is State.STARTING)
            assert "does not answer" in out.problem
            os.kill(pid, signal.SIGCONT)
            await it.serving("double", "1")
        assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_an_attached_triton_with_holes_is_not_registered_where_others_reach_it(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with foreign_triton(tmp_path) as (_, port):
        url = f"127.0.0.1:{port}"
        with pytest.raises(ConfigError, match=r"Triton 2\.51\.0 has remotely exploitable holes .* at 10\.0\.0\.1"):
            await Sidecar(config(None, triton_url=url, advertise="10.0.0.1"), MemoryRegistry()).run()
        allowed = {"triton_url": url, "advertise": "10.0.0.1", "allow_vulnerable_triton": True}
        async with running(None, **allowed) as it:
            assert (await it.serving("double")).host == "10.0.0.1"


async def refusal(**options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        await Sidecar(config(**options), MemoryRegistry()).run()  # type: ignore[arg-type]
    return str(caught.value)


async def test_each_refusal_is_one_line_that_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    before = {child.pid for child in psutil.Process().children()}
    text = await refusal(repository=None, triton_url=f"127.0.0.1:{port}", attach_timeout=0.5)
    assert text.startswith(f"--triton-url 127.0.0.1:{port}: no Triton answers there")
    assert "no such folder" in await refusal(repository=tmp_path / "none")
    assert "2.51" in await refusal(repository=tmp_path, advertise="10.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        used = taken.getsockname()[1]
        for option in ("grpc_port", "http_port", "metrics_port", "health_port"):
            assert "is in use" in await refusal(repository=tmp_path, **{option: used})
    text = await refusal(repository=tmp_path, triton_options=("--no-such-option",))
    assert text == "Triton: unrecognized option '--no-such-option'"
    monkeypatch.setenv("INFERLOOM_CACHE", str(tmp_path / "cache"))
    assert await refusal(repository=tmp_path) == "the Triton runtime is not installed: inferloom triton install"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no tritonserver on PATH" in await refusal(repository=tmp_path, triton="path")
    assert "no docker on PATH" in await refusal(repository=tmp_path, triton="docker:25.08-py3")
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_only_the_sidecar_may_change_its_triton(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path) as it:
        replica = await it.serving("double")
        stranger = TritonClient(replica.host, replica.port)
        with pytest.raises(TritonError, match="restricted"):
            await stranger.unload("double", 5)
        assert await stranger.ready("double")
        await stranger.close()
