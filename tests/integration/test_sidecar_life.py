"""The sidecar when its Triton dies, hangs or drains, and when it is itself killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from inferloom.mesh.catalog import State
from inferloom.mesh.process import start
from inferloom.sidecar.triton import TritonClient
from tests.support.sidecar import alive, infer, processes_with, request, running, until_gone, values, write_model

QUICK = {"probe_interval": 0.2, "probe_timeout": 0.2}


async def test_a_triton_that_is_killed_is_out_at_once_and_started_again(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path) as it:
        before = await it.serving("double")
        pid = it.sidecar.pid
        assert pid is not None
        family = psutil.Process(pid).children(recursive=True)
        assert family, "the Python backend runs models in processes of their own"
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        out = await it.until("double", lambda r: r.state is State.STARTING)
        assert time.monotonic() - began < 1
        assert "SIGKILL" in out.problem
        after = await it.serving("double")
        assert (after.generation, before.generation) == (2, 1)
        assert await infer(after) == (2.0, 4.0)
        assert not any(alive(process) for process in family), "the processes of its models go with it"


async def test_a_frozen_triton_is_out_after_three_probes_and_back_when_it_answers(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path, **QUICK) as it:
        await it.serving("double")
        pid = it.sidecar.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        out = await it.until("double", lambda r: r.state is State.STARTING)
        assert out.problem == "Triton does not answer (3 probes)"
        os.kill(pid, signal.SIGCONT)
        back = await it.serving("double")
        assert (back.generation, back.problem) == (1, "")
        assert it.sidecar.pid == pid


async def test_a_triton_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path, hung_after=2.0, **QUICK) as it:
        await it.serving("double")
        pid = it.sidecar.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await it.until("double", lambda r: r.state is State.STARTING)
        back = await it.serving("double")
        assert back.generation == 2
        assert not psutil.pid_exists(pid)
        assert await infer(back) == (2.0, 4.0)


async def test_drain_says_so_first_and_stops_only_when_what_is_in_flight_is_done(tmp_path: Path) -> None:
    write_model(tmp_path, "slow", seconds=0.7)
    async with running(tmp_path, watch_lag=0.4) as it:
        replica = await it.serving("slow")
        pid = it.sidecar.pid
        assert pid is not None
        client = TritonClient(replica.host, replica.port)
        calls = [asyncio.create_task(client.infer(request("slow"), 20.0)) for _ in range(9)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        draining = asyncio.create_task(it.sidecar.drain())
        await it.until("slow", lambda r: r.state is State.DRAINING)
        assert time.monotonic() - began < 0.3
        late = asyncio.create_task(client.infer(request("slow"), 20.0))  # from a router that has not seen it yet
        answers = await asyncio.gather(*calls, late)
        assert [values(answer) for answer in answers] == [(2.0, 4.0)] * 10
        assert psutil.pid_exists(pid)
        await draining
        assert it.history[-1].models == {}
        assert not psutil.pid_exists(pid)
        await client.close()


async def test_drain_is_bounded(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "slow", seconds=60)
    (folder / "warmup.json").write_text("{")  # a model that does not serve, so that no first request holds it up
    async with running(tmp_path, drain_timeout=0.5) as it:
        broken = await it.until("slow", lambda r: "warmup.json" in r.problem)
        client = TritonClient(broken.host, broken.port)
        call = asyncio.create_task(client.infer(request("slow"), 60.0))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        await it.sidecar.drain()
        assert time.monotonic() - began < 15
        await asyncio.gather(call, return_exceptions=True)
        await client.close()


HOST = """
import asyncio, sys
from pathlib import Path
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.sidecar import Sidecar

async def main():
    sidecar = Sidecar(SidecarConfig(repository=Path(sys.argv[1])), MemoryRegistry())
    running = asyncio.create_task(sidecar.run())
    async for status in sidecar.status.watch():
        if status.models and all(model.versions for model in status.models.values()):
            break
    print("serving", sidecar.pid, flush=True)
    await running

asyncio.run(main())
"""


async def test_no_process_is_left_when_the_sidecar_is_killed(tmp_path: Path) -> None:
    write_model(tmp_path, "one")
    write_model(tmp_path, "two")
    said: asyncio.Queue[str] = asyncio.Queue()
    child = await start([sys.executable, "-c", HOST, str(tmp_path)], on_line=said.put_nowait, name="host")
    try:
        async with asyncio.timeout(60):
            while not (line := await said.get()).startswith("serving"):
                pass
        family = psutil.Process(child.pid).children(recursive=True)
        assert psutil.pid_exists(int(line.split()[1]))
        assert len(family) >= 3, "Triton and a process for each model"
        assert psutil.Process(child.pid).memory_info().rss < 100e6
        os.kill(child.pid, signal.SIGKILL)
        assert await child.wait() == -signal.SIGKILL
        assert await until_gone(family, timeout=5.0) < 5.0
        assert not processes_with(str(tmp_path))
    finally:
        await child.stop(1)
