"""python -m monitoring.record: run real meshes, break one thing in each, and keep what a Prometheus would have scraped.

Each mesh has a Consul agent, a router, and Tritons with their sidecars or a host of services, all processes of their own,
under constant load. Nothing is stretched or made up: five and a half minutes pass before the cause, so that rates over five
minutes are whole, and two and a half after it. Only `up` is set here, as Prometheus would set it. Ten minutes in all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from inferloom.cli.consul_agent import DevAgent, start_dev_agent
from inferloom.clients.aio import MeshClient
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import free_port
from inferloom.mesh.process import Child, start
from inferloom.mesh.registry.consul import ConsulRegistry
from monitoring.series import scraped, up

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "tests" / "data" / "repository"
EVERY = 5  # seconds between scrapes
BEFORE, AFTER = 330, 150  # seconds
CALLERS = 4
PAUSE = 0.4  # seconds between a caller's requests
SLOW_POLICY = {"objective": {"availability": 99.9, "latency": "500ms", "within": 99.0}}
PRICE_POLICY = {"objective": {"availability": 99.0}}
SPLIT = {
    "arms": [
        {"name": "old", "share": 0.7, "version": "1"},
        {"name": "new", "share": 0.3, "model": "PriceNew"},
        {"name": "shadow", "mirror": True, "sample": 1.0, "model": "PriceShadow"},
    ]
}


@dataclass
class Scene:
    """One mesh while it runs."""

    folder: Path
    tritons: int
    services: bool
    consul: DevAgent | None = None
    children: dict[str, Child] = field(default_factory=dict)
    admins: dict[str, str] = field(default_factory=dict)
    address: str = ""
    seconds: float = 0.01  # that the model takes
    failed: int = 0

    @property
    def bad(self) -> Path:
        """There: the services are bad."""
        return self.folder / "bad"

    async def role(self, name: str, *words: str) -> None:
        admin = f"127.0.0.1:{free_port('127.0.0.1')}"
        ready = asyncio.Event()
        command = [sys.executable, "-m", "inferloom.cli", *words, "--admin", admin]
        environ = {**os.environ, "INCIDENT_BAD": str(self.bad), "INFERLOOM_STATE": str(self.folder / f"state-{name}")}
        child = await start(
            command,
            env=environ,
            name=name,
            log_path=self.folder / f"{name}.log",
            on_line=lambda line: ready.set() if line.startswith("ready ") else None,
        )
        self.children[name], self.admins[name] = child, admin
        async with asyncio.timeout(120):
            while not ready.is_set():
                if child.returncode is not None:
                    raise RuntimeError(child.why())
                await asyncio.sleep(0.1)

    async def begin(self) -> None:
        self.consul = await start_dev_agent(log_path=self.folder / "consul.log")
        registry = f"consul://{self.consul.address}"
        for number in range(self.tritons):
            repository = self.folder / f"models-{number}"
            shutil.copytree(MODELS / "slow", repository / "slow", ignore=shutil.ignore_patterns("__pycache__"))
            name = f"sidecar-{number}"
            await self.role(
                name, "sidecar", "--repository", str(repository), "--registry", registry, "--id", f"t{number}"
            )
        if self.services:
            app = str(HERE / "incident_app.py")
            await self.role("host", "host", app, "--registry", registry, "--id", "h0")
        documents = ConsulRegistry.from_environment(self.consul.address)
        await documents.start()
        try:
            if self.tritons:
                await documents.documents.put("policy", "slow", SLOW_POLICY)
            if self.services:
                await documents.documents.put("split", "Price", SPLIT)
                await documents.documents.put("policy", "Price", PRICE_POLICY)
        finally:
            await documents.close()
        port = free_port("127.0.0.1")
        self.address = f"127.0.0.1:{port}"
        await self.role("router", "router", "--grpc", self.address, "--registry", registry)

    async def end(self) -> None:
        for child in reversed(self.children.values()):
            await child.stop(20)
        if self.consul is not None:
            await self.consul.stop()

    async def call(self, number: int) -> None:
        """One caller, for ever."""
        async with MeshClient(self.address, timeout=2.0) as mesh:
            while True:
                began = time.monotonic()
                try:
                    if self.tritons:
                        await mesh.infer("slow", {"seconds": [[self.seconds]], "key": [[number]]})
                    if self.services:
                        await mesh.infer("Price", {"amount": float(number)})
                except InferloomError:
                    self.failed += 1
                await asyncio.sleep(max(0.0, PAUSE - (time.monotonic() - began)))

    async def scrape(self, session: aiohttp.ClientSession) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, admin in self.admins.items():
            try:
                async with session.get(f"http://{admin}/metrics", timeout=aiohttp.ClientTimeout(EVERY)) as answer:
                    found |= {**scraped(await answer.text(), name, name.partition("-")[0]), up(name): 1.0}
            except (aiohttp.ClientError, TimeoutError):
                found[up(name)] = 0.0
        return found


async def kill_replica(scene: Scene) -> None:
    """A node that loses its power: sidecar and Triton are gone at once."""
    scene.children["sidecar-1"].signal(signal.SIGKILL)  # its Triton dies with it


async def slow_model(scene: Scene) -> None:
    scene.seconds = 0.8


async def lose_consul(scene: Scene) -> None:
    assert scene.consul is not None
    scene.consul.child.signal(signal.SIGKILL)


async def spoil_split(scene: Scene) -> None:
    scene.bad.touch()


async def nothing(scene: Scene) -> None:
    return


Cause = Callable[[Scene], Awaitable[None]]
SCENES: dict[str, tuple[int, bool, Cause]] = {
    "quiet_day": (2, True, nothing),
    "killed_replica": (2, False, kill_replica),
    "slow_model": (1, False, slow_model),
    "consul_gone": (1, False, lose_consul),
    "split_gone_bad": (0, True, spoil_split),
}


async def record(name: str, folder: Path, before: int, after: int) -> tuple[int, list[dict[str, float]]]:
    """Run one; returns when its cause was, and its scrapes."""
    tritons, services, cause = SCENES[name]
    scene = Scene(folder, tritons, services)
    scrapes: list[dict[str, float]] = []
    callers: list[asyncio.Task[Any]] = []
    try:
        await scene.begin()
        callers = [asyncio.create_task(scene.call(number)) for number in range(CALLERS)]
        await asyncio.sleep(EVERY)
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            broken = False
            while len(scrapes) * EVERY <= before + after:
                await asyncio.sleep(max(0.0, began + len(scrapes) * EVERY - time.monotonic()))
                scrapes.append(await scene.scrape(session))
                if not broken and (len(scrapes) - 1) * EVERY >= before:
                    broken = True
                    await cause(scene)
        print(f"{name}: {len(scrapes)} scrapes, {scene.failed} of the callers' requests failed", flush=True)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await scene.end()
    return (0 if cause is nothing else before), scrapes


async def run(names: list[str], raw: Path, before: int, after: int) -> None:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-"))) for name in names]
        done = await asyncio.gather(
            *(record(name, folder, before, after) for name, folder in zip(names, folders, strict=True))
        )
    raw.mkdir(parents=True, exist_ok=True)
    for name, (cause, scrapes) in zip(names, done, strict=True):
        with gzip.open(raw / f"{name}.json.gz", "wt") as file:
            json.dump({"every": EVERY, "cause": cause, "scrapes": scrapes}, file)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m monitoring.record", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("scene", nargs="*", choices=[*SCENES, []], help="which; default: all, side by side")
    options.add_argument("--raw", type=Path, required=True, help="folder for everything that was scraped")
    options.add_argument("--before", type=int, default=BEFORE, help="seconds before the cause")
    options.add_argument("--after", type=int, default=AFTER, help="seconds after it")
    given = options.parse_args()
    asyncio.run(run(given.scene or list(SCENES), given.raw, given.before, given.after))
    from monitoring.keep import keep

    keep(given.raw)


if __name__ == "__main__":
    main()
