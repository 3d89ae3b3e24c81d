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
) -> tuple[str, Registry]:
    """The registry, started, and how the other roles name it.

    Args:
        text: "consul" starts a dev agent on free ports; "consul://HOST:PORT" is one that runs.

    Raises:
        ConfigError: there is no Consul to start.
        RegistryUnavailable: the one given does not answer.
    """
    if text == "consul":
        agent = await start_dev_agent(log_path=logs / "consul.log", say=progress)
        keeping = asyncio.create_task(_keep(agent, logs / "consul.log", stack), name="keep Consul")
        stack.push_async_callback(_end, keeping)
        text = f"consul://{agent.address}"
    registry = open_registry(text)
    stack.push_async_callback(registry.close)
    await registry.start()
    return text, registry


async def _keep(agent: DevAgent, log_path: Path, stack: AsyncExitStack) -> None:
    """A new agent on the same ports when this one ends; the replicas tell it again what it has forgotten."""
    try:
        while True:
            await agent.wait()
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
