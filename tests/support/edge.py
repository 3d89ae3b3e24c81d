"""The whole chain on free ports: a router in this process with its HTTP face, control planes and edges as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from inferloom.cli.http import HttpPort
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.process import Child, start
from inferloom.mesh.xds.types import model_cluster, rest_cluster
from tests.support.router import Mesh

__all__ = ["Control", "Edge", "Gateway", "Role", "running_edge"]

COMMAND = (sys.executable, "-m", "inferloom.cli")
START = 60.0  # seconds a role may take on a busy machine
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for this machine


class Role:
    """An `inferloom` process that says `ready NAME=VALUE ...` and can be ended, killed and started again."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.said: dict[str, str] = {}
        self.child: Child | None = None

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    @property
    def output(self) -> str:
        """The last lines it wrote."""
        return "\n".join(self.child.tail) if self.child is not None else ""

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.returncode is None

    async def start(self, *, wait: bool = True) -> None:
        """Start it; returns when it is ready, or at once.

        Raises:
            AssertionError: it ends, or does not become ready.
        """
        ready = asyncio.Event()

        def see(line: str) -> None:
            if line.startswith("ready "):
                self.said = dict(part.partition("=")[::2] for part in line.split()[1:])
                ready.set()

        environ = {**os.environ, "INFERLOOM_LOG_FORMAT": "text", "PYTHONUNBUFFERED": "1"}
        self.child = await start([*COMMAND, *self.arguments], name=self.arguments[0], on_line=see, env=environ)
        if not wait:
            return
        end = time.monotonic() + START
        while not ready.is_set():
            assert self.child.returncode is None, f"{self.arguments[0]} ended:\n{self.output}"
            assert time.monotonic() < end, f"{self.arguments[0]} is not ready:\n{self.output}"
            await asyncio.sleep(0.02)

    async def stop(self, grace: float = 20.0) -> int:
        """SIGTERM, and wait for its end: the exit status."""
        return await self.child.stop(grace) if self.child is not None else 0

    async def kill(self) -> None:
        """SIGKILL."""
        assert self.child is not None
        self.child.signal(signal.SIGKILL)
        await self.child.wait()


class Control(Role):
    """A control plane, always on the same port."""

    def __init__(self, registry: str, router: str, http: str, *options: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(
            *("control", "--grpc", self.address, "--registry", registry, "--admin", "127.0.0.1:0"),
            *("--router", router, "--router-http", http, *options),
        )


class Edge(Role):
    """An Envoy in front, always on the same ports."""

    def __init__(self, controls: Sequence[str], *options: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"  # gRPC and HTTP
        self.admin = f"127.0.0.1:{free_port()}"
        super().__init__(
            *("edge", "--listen", self.address, "--control", ",".join(controls), "--admin", self.admin),
            *("--concurrency", "1", "--drain-timeout", "5", *options),
        )

    def envoy(self) -> psutil.Process:
        """The program that it has started."""
        [process] = [each for each in psutil.Process(self.pid).children() if each.name() == "envoy"]
        return process

    def get(self, path: str) -> Any:
        """JSON of Envoy's admin port."""
        with _DIRECT.open(f"http://{self.admin}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges whose names match the regular expression."""
        found = self.get(f"/stats?format=json&filter={pattern}")["stats"]
        return {each["name"]: each["value"] for each in found if "name" in each}

    def connections(self, cluster: str, address: str) -> int:
        """How many it has to an endpoint of a cluster."""
        for each in self._cluster(cluster):
            if _address(each) == address:
                return sum(int(stat.get("value", 0)) for stat in each["stats"] if stat["name"] == "cx_active")
        return 0

    def hosts(self, cluster: str) -> list[str]:
        """HOST:PORT of a cluster's healthy endpoints; none where it has no such cluster."""
        healthy = [
            each
            for each in self._cluster(cluster)
            if each.get("health_status", {}).get("eds_health_status", "HEALTHY") == "HEALTHY"
        ]
        return [_address(each) for each in healthy]

    def _cluster(self, name: str) -> list[Any]:
        found = self.get("/clusters?format=json")["cluster_statuses"]
        return [host for each in found if each["name"] == name for host in each.get("host_statuses", ())]

    def routes(self) -> list[str]:
        """The models it reaches itself."""
        found = self.get("/config_dump?resource=dynamic_route_configs").get("configs", ())
        return [
            domain for each in found for host in each["route_config"]["virtual_hosts"] for domain in host["domains"]
        ]

    async def reaches(self, model: str, replicas: int = 1, *, rest: bool = False) -> None:
        """Wait until it sends calls of a model to that many replicas itself."""
        name = rest_cluster(model) if rest else model_cluster(model)
        end = time.monotonic() + 20
        while True:
            hosts, routes = await asyncio.to_thread(self.hosts, name), await asyncio.to_thread(self.routes)
            if len(hosts) == replicas and model in routes:
                return
            assert time.monotonic() < end, f"{name}: {hosts}, routes of {routes}\n{self.output}"
            await asyncio.sleep(0.02)


def _address(host: Any) -> str:
    socket = host["address"]["socket_address"]
    return f"{socket['address']}:{socket['port_value']}"


class Gateway:
    """What stands in front of a router."""

    def __init__(self, http: str, controls: list[Control], edges: list[Edge]) -> None:
        self.http = http  # of the router itself
        self.controls = controls
        self.edges = edges

    @property
    def edge(self) -> Edge:
        return self.edges[0]

    @property
    def control(self) -> Control:
        return self.controls[0]

    @property
    def address(self) -> str:
        """Of the first edge: gRPC and HTTP."""
        return self.edge.address


@asynccontextmanager
async def running_edge(
    mesh: Mesh,
    *,
    registry: str = "",
    controls: int = 1,
    edges: int = 1,
    control_options: Sequence[str] = (),
    edge_options: Sequence[str] = (),
    tokens: Sequence[str] = (),
    folder: Path | None = None,
) -> AsyncIterator[Gateway]:
    """Control planes and edges in front of a mesh, ready.

    Args:
        registry: of the control planes; by default the mesh's router is.
        tokens: the router's HTTP face needs one of them.
        folder: for the output of the processes, where it shall be kept.
    """
    async with AsyncExitStack() as stack:
        port = HttpPort(mesh.router, Address("127.0.0.1", free_port()), tokens=tokens)
        http = str(await port.start())
        stack.push_async_callback(port.close)
        registry = registry or f"mesh://{mesh.address}"
        planes = [Control(registry, mesh.address, http, *control_options) for _ in range(controls)]
        fronts = [Edge([each.address for each in planes], *edge_options) for _ in range(edges)]
        roles: list[Role] = [*planes, *fronts]
        stack.push_async_callback(_stop, roles, folder)
        await asyncio.gather(*(role.start() for role in roles))
        yield Gateway(http, planes, fronts)


async def _stop(roles: Sequence[Role], folder: Path | None) -> None:
    """The edges first."""
    for role in reversed(roles):
        with suppress(ProcessLookupError):
            await role.stop()
        if folder is not None:
            (folder / f"{role.arguments[0]}.log").write_text(role.output)
