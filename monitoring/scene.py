"""One mesh of real processes under constant load, as long as it is recorded."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from inferloom.cli.consul_agent import DevAgent, start_dev_agent
from inferloom.clients.aio import MeshClient
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import free_port
from inferloom.mesh.process import Child, start
from inferloom.mesh.registry.consul import ConsulRegistry
from monitoring.series import scraped, up

__all__ = ["EVERY", "Scene"]

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "tests" / "data" / "repository"
EVERY = 5  # seconds between scrapes
PAUSE = 0.4  # seconds between a caller's requests
SLOW_POLICY = {"objective": {"availability": 99.9, "latency": "500ms", "within": 99.0}}
PRICE_POLICY = {"objective": {"availability": 99.5}}
SPLIT = {
    "arms": [
        {"name": "old", "share": 0.7, "version": "1"},
        {"name": "new", "share": 0.3, "model": "PriceNew"},
        {"name": "shadow", "mirror": True, "sample": 1.0, "model": "PriceShadow"},
    ]
}
SHARED = {"arms": SPLIT["arms"][:2]}  # without a mirror, which would keep it out of the edge


@dataclass
class Scene:
    """One mesh while it runs."""

    folder: Path
    tritons: int
    services: bool
    gateway: bool  # Envoy in front
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
                await documents.documents.put("split", "Price", SHARED if self.gateway else SPLIT)
                await documents.documents.put("policy", "Price", PRICE_POLICY)
        finally:
            await documents.close()
        port = free_port("127.0.0.1")
        self.address = f"127.0.0.1:{port}"
        await self.role("router", "router", "--grpc", self.address, "--registry", registry)
        if self.gateway:
            await self._front(registry)

    async def _front(self, registry: str) -> None:
        control, edge = (f"127.0.0.1:{free_port('127.0.0.1')}" for _ in range(2))
        http = f"127.0.0.1:{free_port('127.0.0.1')}"  # nobody: the callers use gRPC
        router = ("--router", self.address, "--router-http", http)
        await self.role("control", "control", "--grpc", control, "--registry", registry, *router)
        await self.role("edge", "edge", "--listen", edge, "--control", control, "--concurrency", "1")
        del self.admins["edge"]  # the control plane tells its figures
        self.address = edge

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
