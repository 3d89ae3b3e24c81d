"""A Consul agent in development mode: one process, in memory, on loopback, gone with its parent."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inferloom.cli.consul_binary import obtain_binary
from inferloom.mesh import process
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import ConfigError, RegistryUnavailable
from inferloom.mesh.registry.consul.client import ConsulClient
from inferloom.mesh.registry.consul.pace import retrying
from inferloom.mesh.registry.consul.settings import ConsulSettings

__all__ = ["DevAgent", "start_dev_agent"]

HOST = "127.0.0.1"
PORTS = ("http", "serf_lan", "serf_wan", "server")
PATIENCE = 15.0  # seconds until it must answer; it takes 0.1
TRIES = 3  # another process may take a free port before Consul does
MAY_READ = 'node_prefix "" { policy = "read" }'
GRPC_TLS = (1, 14)  # the first version that opens this port too


@dataclass(frozen=True, slots=True)
class DevAgent:
    """A running agent."""

    binary: Path
    ports: Mapping[str, int]  # by Consul's names of them
    child: process.Child
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """host:port of its HTTP API."""
        return f"{HOST}:{self.ports['http']}"

    async def stop(self) -> None:
        """End it. It was in memory: what it knew is gone."""
        await self.child.stop(grace=3.0)

    async def restart(self, log_path: Path | None = None) -> DevAgent:
        """Another agent on the same ports, which knows nothing; this one must have ended."""
        return await _start(self.binary, self.ports, self.settings, log_path)


async def start_dev_agent(
    binary: Path | None = None,
    *,
    http_port: int = 0,
    settings: Mapping[str, object] | None = None,
    log_path: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> DevAgent:
    """Start an agent on free ports of the loopback interface, and wait until it answers and has a leader.

    Args:
        binary: Consul's; None: found, or downloaded (see `consul_binary`).
        http_port: of its HTTP API; 0: a free one.
        settings: further settings of the agent, as in its JSON configuration.
        log_path: a file its output is appended to.
        say: told what takes long.

    Raises:
        ConfigError: there is no binary, or it does not start; with Consul's own last line.
    """
    if binary is None:
        binary = await asyncio.to_thread(obtain_binary, os.environ, say)
    failure: ConfigError | None = None
    for _ in range(TRIES):
        ports = _free_ports()
        if http_port:
            ports["http"] = http_port
        try:
            return await _start(binary, ports, settings or {}, log_path)
        except ConfigError as error:
            failure = error
            if "address already in use" not in str(error) or http_port:
                break
    raise failure or ConfigError("Consul does not start")


async def _start(
    binary: Path, ports: Mapping[str, int], settings: Mapping[str, object], log_path: Path | None
) -> DevAgent:
    closed = {"dns": -1, "grpc": -1, "https": -1, **({"grpc_tls": -1} if await _version(binary) >= GRPC_TLS else {})}
    given = {"disable_update_check": True, **settings}
    extra = given.pop("ports", {})
    given["ports"] = {**closed, **ports, **(extra if isinstance(extra, dict) else {})}
    quiet = ["-bind", HOST, "-client", HOST, "-log-level", "warn"]
    child = await process.start(
        [str(binary), "agent", "-dev", *quiet, "-hcl", json.dumps(given)], name="consul", log_path=log_path
    )
    agent = DevAgent(binary, dict(ports), child, settings)
    try:
        await _answers(agent)
    except BaseException:
        await child.stop(grace=1.0)
        raise
    return agent


async def _answers(agent: DevAgent) -> None:
    """Wait until it has a leader.

    Raises:
        ConfigError: it ended, or does not answer in time.
    """
    client = ConsulClient(ConsulSettings(HOST, agent.ports["http"]))
    try:
        async with asyncio.timeout(PATIENCE):
            async for attempt in retrying(SYSTEM, random.Random(), first=0.05, most=0.2):
                with attempt:
                    if agent.child.returncode is not None:
                        raise ConfigError(_why(agent.child))
                    if not await client.call(lambda consul: consul.status.leader(), MAY_READ):
                        raise RegistryUnavailable("no leader yet")
                    _, nodes = await client.call(lambda consul: consul.catalog.nodes(), MAY_READ)
                    if not nodes and "acl" not in agent.settings:
                        raise RegistryUnavailable("it leads, and has not registered itself yet: sessions would fail")
    except TimeoutError:
        raise ConfigError(_why(agent.child)) from None
    finally:
        await client.close()


def _why(child: process.Child) -> str:
    """A port in use is not the last thing that Consul says."""
    telling = [line.strip() for line in child.tail if "already in use" in line]
    return f"consul does not start: {telling[-1][:300]}" if telling else child.why()


async def _version(binary: Path) -> tuple[int, int]:
    """Major and minor; (0, 0) where it does not say."""
    asked = await asyncio.create_subprocess_exec(
        str(binary), "version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asked.communicate()
    found = re.search(rb"v?(\d+)\.(\d+)\.\d+", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _free_ports() -> dict[str, int]:
    """A free port for each of PORTS, all different."""
    sockets = [socket.socket() for _ in PORTS]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return {name: one.getsockname()[1] for name, one in zip(PORTS, sockets, strict=True)}
    finally:
        for one in sockets:
            one.close()
