"""A real Consul agent for tests, and a health service for it to check."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inferloom.cli.consul_agent import DevAgent
from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.registry.base import Registry

ConsulFactory = Callable[[Mapping[str, object]], Awaitable["Consul"]]


class Consul:
    """One agent, that can be killed, frozen and started again on the same ports, knowing nothing."""

    def __init__(self, agent: DevAgent) -> None:
        self.agent = agent

    @property
    def address(self) -> str:
        return self.agent.address

    @property
    def pid(self) -> int:
        return self.agent.child.pid

    async def kill(self) -> None:
        self.agent.child.signal(signal.SIGKILL)
        await self.agent.child.wait()

    async def restart(self) -> None:
        """Start it again after `kill`."""
        self.agent = await self.agent.restart()

    def stop(self) -> None:
        """Freeze it."""
        self.agent.child.signal(signal.SIGSTOP)

    def cont(self) -> None:
        self.agent.child.signal(signal.SIGCONT)

    async def ask(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """One request to its HTTP API; the parsed answer, None where there is none or no such key."""
        return await asyncio.to_thread(self._ask, method, path, body, token)

    def _ask(self, method: str, path: str, body: object, token: str) -> Any:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"X-Consul-Token": token} if token else {}
        request = urllib.request.Request(f"http://{self.address}/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                found = response.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 404:
                    raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
            return None
        return json.loads(found) if found else None


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """A grpc.health.v1 server, as a sidecar has one."""

    def __init__(self) -> None:
        self.server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.serving = True
        self.asked = 0

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: object
    ) -> health_pb2.HealthCheckResponse:
        self.asked += 1
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if self.serving else status.NOT_SERVING)


async def eventually(registry: Registry, holds: Callable[[Catalog], bool], seconds: float = 5.0) -> Catalog:
    """The first catalog for which it holds; AssertionError with the last one after so long."""
    last = registry.catalog
    try:
        async with asyncio.timeout(seconds):
            async for catalog in registry.watch():
                last = catalog
                if holds(catalog):
                    return catalog
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s; the last catalog was {last}") from None
    raise AssertionError("the watch ended")


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)


def replica(model: str = "iris", name: str = "a", **fields: Any) -> Replica:
    return Replica(model, name, "127.0.0.1", fields.pop("port", 9000), **({"versions": ("1",)} | fields))
