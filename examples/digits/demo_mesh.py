"""The mesh of the demo: a running `inferloom up`, and what the demo does to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from pathlib import Path
from types import TracebackType

import grpc

from inferloom.cli.models import table_of_models
from inferloom.cli.state import state_folder
from inferloom.sdk import MeshClient
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

START = 420.0  # seconds until it must be ready; the first time the Triton runtime is installed
PATIENCE = 120.0  # seconds for a replica to go or to come back
SETTLE = 5.0  # seconds for mirrored requests that are still on their way
LOOK = 0.05  # seconds between looks


class DemoMesh:
    """Starts `inferloom up FOLDER` as a child process and stops it on leaving.

    Args:
        gateway: what clients reach: python (the router itself) or envoy.
    """

    def __init__(self, folder: Path, gateway: str) -> None:
        self._folder = folder
        self._gateway = gateway
        self._process: asyncio.subprocess.Process | None = None
        self.address = ""
        self._admin = ""

    async def __aenter__(self) -> DemoMesh:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inferloom.cli", "up", str(self._folder), "--grpc", "127.0.0.1:0"),
            *("--gateway", self._gateway),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            line = await asyncio.wait_for(self._ready(), START)
        except BaseException:
            await self._stop()
            raise
        words = dict(word.split("=", 1) for word in line.split()[1:])
        self.address, self._admin = words["grpc"], words["admin"]
        self._channel = grpc.aio.insecure_channel(self.address)
        self._stub = mesh_pb2_grpc.MeshServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self.client = await MeshClient(self.address).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.__aexit__(kind, error, trace)
        await self._channel.close(None)
        await self._stop()

    async def _ready(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode()
            if line.startswith("ready "):
                return line
        raise RuntimeError(f"`inferloom up {self._folder}` ended with status {await self._process.wait()}")

    async def _stop(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._process.wait()

    async def models(self) -> pb.ListModelsResponse:
        answer: pb.ListModelsResponse = await self._stub.ListModels(pb.ListModelsRequest(with_load=True))
        return answer

    async def replicas(self, model: str) -> dict[str, pb.Replica]:
        answer = await self.models()
        return {replica.id: replica for entry in answer.models if entry.name == model for replica in entry.replicas}

    async def show(self) -> None:
        from rich.console import Console

        Console(width=140).print(table_of_models(await self.models(), {}, 0.0))

    async def strike(self, replica: str, number: signal.Signals) -> int:
        """Send a signal to the Triton of a replica; returns its process id."""
        port = (await self.replicas("digits-slow"))[replica].port
        pid = self._pid_of(port)
        os.kill(pid, number)
        return pid

    def _pid_of(self, port: int) -> int:
        """The child process that was told to listen on this port."""
        assert self._process is not None
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue  # it ended while we looked
            if parent == self._process.pid and any(word == b"--grpc-port=%d" % port for word in words):
                return int(entry.name)
        raise RuntimeError(f"no Triton of this mesh listens on port {port}")

    async def wait_until(self, replica: str, *, serving: bool) -> float:
        """When each model's replica takes requests again, or the first of them no longer does; on the loop's clock."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while loop.time() < deadline:
            states = [
                entry.state == pb.REPLICA_STATE_SERVING and entry.load.breaker == "closed"
                for model in (await self.models()).models
                for entry in model.replicas
                if entry.id == replica
            ]
            if (all(states) and bool(states)) if serving else not all(states):
                return loop.time()
            await asyncio.sleep(LOOK)
        raise RuntimeError(f"{replica} did not {'come back' if serving else 'go'} within {PATIENCE:.0f} s")

    async def agreement(self, split: str, wanted: int) -> tuple[int, int]:
        """(agreed, compared) of the mirror arm of a split, once `wanted` requests have been compared or `SETTLE` is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE
        while True:
            figures = await self._stub.SplitFigures(pb.SplitFiguresRequest(name=split))
            of = [arm.compared for arm in figures.arms if arm.mirror]
            agreed = sum(mirror.agreed for mirror in of)
            compared = agreed + sum(mirror.differed for mirror in of)
            if compared >= wanted or loop.time() > deadline:
                return agreed, compared
            await asyncio.sleep(LOOK)

    async def retried(self) -> int:
        """Retries so far, from the router's metrics and Envoy's."""
        wanted = {f"http://{self._admin}/metrics": "inferloom_retries_total{"}
        if self._gateway == "envoy":
            wanted[f"http://{self._envoy()}/stats/prometheus?filter=upstream_rq_retry$"] = "envoy_cluster_"
        pages = await asyncio.gather(*(asyncio.to_thread(_read, url) for url in wanted))
        lines = [
            line
            for page, start in zip(pages, wanted.values(), strict=True)
            for line in page.splitlines()
            if line.startswith(start)
        ]
        return round(sum(float(line.rpartition(" ")[2]) for line in lines))

    def _envoy(self) -> str:
        """Envoy's admin port, as the edge has told its log."""
        log = state_folder() / "logs" / self.address.replace(":", "_") / "edge.log"
        [line, *_] = [line for line in log.read_text().splitlines() if line.startswith("ready ")]
        return line.rpartition("admin=")[2]


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())
