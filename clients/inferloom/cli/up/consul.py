"""The Consul that `up --registry consul` uses: a given one, or a dev agent of its own, started again when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from inferloom.cli.consul_agent import DevAgent, start_dev_agent
from inferloom.cli.registry import open_registry
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.base import Registry

__all__ = ["consul_registry"]

log = structlog.get_logger(__name__)
RESTART = 1.0  # seconds


async def consul_registry(
    text: str, logs: Path, progress: Callable[[str], None], stack: AsyncExitStack
) -> tuple[str, Registry, list[asyncio.Task[None]]]:
    """How the other roles name the registry, the registry itself, started, and the tasks that must not end.

    Args:
        text: "consul" starts a dev agent on free ports; "consul://HOST:PORT" is one that runs.

    Raises:
        ConfigError: there is no Consul to start.
        RegistryUnavailable: the one given does not answer.
    """
    tasks: list[asyncio.Task[None]] = []
    if text == "consul":
        agent = await start_dev_agent(log_path=logs / "consul.log", say=progress)
        keeping = asyncio.create_task(_keep(agent, logs / "consul.log"), name="keep Consul")
        stack.push_async_callback(_end, keeping)
        tasks.append(keeping)
        text = f"consul://{agent.address}"
    registry = open_registry(text)
    stack.push_async_callback(registry.close)
    await registry.start()
    return text, registry, tasks


async def _keep(agent: DevAgent, log_path: Path) -> None:
    """A new agent on the same ports when this one ends; the replicas tell it again what it has forgotten."""
    try:
        while True:
            await agent.child.wait()
            log.warning("Consul ended and is started again", address=agent.address)
            await asyncio.sleep(RESTART)
            try:
                agent = await agent.restart(log_path)
            except ConfigError as error:
                log.error("Consul does not start", error=str(error))
    finally:
        await agent.stop()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
