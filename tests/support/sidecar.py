"""Real sidecars on the managed Triton, and small models for them."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from inferloom.mesh.catalog import Catalog, Replica, State
from inferloom.mesh.oip import pb
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.sidecar import Sidecar
from inferloom.sidecar.triton import TritonClient

CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
dynamic_batching { }
"""
MODEL = """
import time

import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        time.sleep(%(seconds)r)
        return [
            pb.InferenceResponse([pb.Tensor("y", pb.get_input_tensor_by_name(r, "x").as_numpy() * %(factor)r)])
            for r in requests
        ]
"""
BAD = "raise RuntimeError('this model is broken')\n"


def write_model(
    repository: Path, name: str, version: str = "1", *, factor: float = 2, seconds: float = 0, source: str = ""
) -> Path:
    """A model that multiplies x by `factor` after `seconds`; it appears whole. Returns the version's folder."""
    model = repository / name
    stage = repository / f".inferloom-{name}-{version}"
    stage.mkdir(parents=True)
    (stage / "model.py").write_text(source or MODEL % {"seconds": seconds, "factor": factor})
    if not model.exists():
        model.mkdir()
        (model / "config.pbtxt").write_text(CONFIG)
    stage.rename(model / version)
    return model / version


def request(name: str, version: str = "", values: tuple[float, ...] = (1.0, 2.0)) -> Any:
    message = pb.ModelInferRequest(model_name=name, model_version=version)
    message.inputs.add(name="x", datatype="FP32", shape=(1, len(values)))
    message.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
    return message


async def infer(replica: Replica, version: str = "", timeout: float = 20.0) -> tuple[float, ...]:
    """What the replica makes of (1, 2)."""
    client = TritonClient(replica.host, replica.port)
    try:
        return values(await client.infer(request(replica.model, version), timeout))
    finally:
        await client.close()


def values(response: Any) -> tuple[float, ...]:
    raw = response.raw_output_contents[0]
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def config(repository: Path | None, **options: Any) -> SidecarConfig:
    """Times shorter than in production, so that a test takes seconds."""
    short: dict[str, Any] = {"replica_id": "a", "watch_lag": 0.2, "scan_interval": 0.1, "restart_first": 0.1}
    return SidecarConfig(repository=repository, **{**short, **options})


class Running:
    """A sidecar under test, its registry, and every record it has published."""

    def __init__(self, sidecar: Sidecar, registry: MemoryRegistry, task: asyncio.Task[None]) -> None:
        self.sidecar = sidecar
        self.registry = registry
        self.task = task
        self.history: list[Catalog] = []

    def replica(self, model: str) -> Replica | None:
        found = self.registry.catalog.models.get(model)
        return found.replicas[0] if found else None

    async def until(self, model: str, condition: Callable[[Replica], bool], timeout: float = 40.0) -> Replica:
        """The model's record, once it fulfils the condition."""

        async def look() -> Replica:
            async for catalog in self.registry.watch():
                found = catalog.models.get(model)
                if found and condition(found.replicas[0]):
                    return found.replicas[0]
            raise AssertionError

        looking = asyncio.create_task(look())
        done, _ = await asyncio.wait((looking, self.task), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if looking in done:
            return looking.result()
        looking.cancel()
        if self.task in done:
            self.task.result()
        raise AssertionError(f"{model} is still {self.replica(model)}; {self.sidecar.status.value}")

    async def serving(self, model: str, *versions: str, timeout: float = 40.0) -> Replica:
        return await self.until(
            model, lambda r: r.state is State.SERVING and (not versions or r.versions == versions), timeout
        )


@asynccontextmanager
async def running(repository: Path | None, **options: Any) -> AsyncIterator[Running]:
    """A sidecar that runs; drained at the end where the test has not ended it. Nothing of it is left."""
    before = {child.pid for child in psutil.Process().children()}
    registry = MemoryRegistry()
    sidecar = Sidecar(config(repository, **options), registry)
    it = Running(sidecar, registry, asyncio.create_task(sidecar.run()))

    async def keep() -> None:
        async for catalog in registry.watch():
            it.history.append(catalog)

    keeping = asyncio.create_task(keep())
    try:
        yield it
        if not it.task.done():
            await sidecar.drain()
        await it.task
    finally:
        it.task.cancel()
        await asyncio.gather(it.task, return_exceptions=True)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    left = [child for child in psutil.Process().children() if child.pid not in before and alive(child)]
    if repository is not None:
        left += processes_with(str(repository))
    assert not left, left
    assert not registry.catalog.models


def alive(process: psutil.Process) -> bool:
    """Whether it runs: a zombie that its parent has not fetched yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_with(text: str) -> list[psutil.Process]:
    """Processes that have `text` in their command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if any(text in part for part in p.info["cmdline"] or ())]


async def until_gone(family: list[psutil.Process], timeout: float) -> float:
    """Seconds until none of these processes runs any more."""
    began = time.monotonic()
    while left := [process for process in family if alive(process)]:
        assert time.monotonic() - began < timeout, left
        await asyncio.sleep(0.05)
    return time.monotonic() - began
