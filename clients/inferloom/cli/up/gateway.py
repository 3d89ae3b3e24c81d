"""Envoy in front of the router: the control plane and the edge as processes of their own, each kept running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from inferloom.cli.logs import FORMAT
from inferloom.cli.up.fleet import INFERLOOM
from inferloom.cli.up.keeper import Keeper
from inferloom.cli.up.ports import Ports
from inferloom.cli.up.where import Where
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InferloomError

__all__ = ["Gateway"]

START = 30.0  # seconds that each may take to say that it is ready
LOOK = 0.05  # seconds
TOLD = 1.0  # seconds between looks at what stays down
LEAVE = 5.0  # seconds beyond its drain time-out that an edge may take to end


class Gateway:
    """Of one mesh.

    Args:
        ports: where Envoy, its control plane and the router behind them are.
        registry: as `--registry` takes it.
        logs: folder of the mesh's logs.
        drain_timeout: seconds for what is in flight when the edge stops.
    """

    def __init__(self, ports: Ports, registry: str, logs: Path, drain_timeout: float, max_message_mib: int) -> None:
        self._ports = ports
        self._registry = registry
        self._logs = logs
        self._drain_timeout = drain_timeout
        self._max_message_mib = max_message_mib
        self._keepers: dict[str, Keeper] = {}

    async def start_control(self) -> None:
        """Return once it knows the registry; the router need not run yet.

        Raises:
            InferloomError: it does not start; says why.
        """
        ports = self._ports
        options = ["--grpc", str(ports.control), "--registry", self._registry, "--admin", str(ports.control_admin)]
        options += ["--router", str(ports.router), "--router-http", str(ports.http)]
        await self._start("control", options)

    async def start_edge(self, router: Where) -> Where:
        """Return once Envoy takes calls: what clients need to know of it.

        Raises:
            InferloomError: it does not start; says why.
        """
        ports = self._ports
        options = ["--listen", str(ports.public), "--control", str(ports.control), "--admin", "127.0.0.1:0"]
        options += ["--drain-timeout", str(self._drain_timeout), "--max-message-mib", str(self._max_message_mib)]
        await self._start("edge", options)

        async def drain() -> None:
            await self._stop("edge")
            await router.drain()

        return Where(ports.public, router.admin, str(ports.public), drain)

    async def tell(self, say: Callable[[str], None]) -> None:
        """Say it, once, when one of them stays down; for ever."""
        said: dict[str, str] = {}
        while True:
            for name, keeper in self._keepers.items():
                if keeper.trouble and said.get(name) != keeper.trouble:
                    say(f"{name} is down: {keeper.trouble}")
                said[name] = keeper.trouble
            await asyncio.sleep(TOLD)

    async def close(self) -> None:
        """End both, the edge first; it drains. Idempotent."""
        for name in ("edge", "control"):
            await self._stop(name)

    async def _stop(self, name: str) -> None:
        keeper = self._keepers.pop(name, None)
        if keeper is not None:
            await keeper.stop(self._drain_timeout + LEAVE)

    async def _start(self, name: str, options: Sequence[str]) -> None:
        ready = asyncio.Event()
        path = self._logs / f"{name}.log"
        keeper = Keeper(
            [*INFERLOOM, name, *options],
            name,
            path,
            lambda line: ready.set() if line.startswith("ready ") else None,
            env={FORMAT: "text"},
        )
        self._keepers[name] = keeper
        keeper.start()
        deadline = SYSTEM.now() + START
        while not ready.is_set():
            if keeper.trouble:
                raise InferloomError(f"{name}: {keeper.trouble}")
            if SYSTEM.now() > deadline:
                raise InferloomError(f"{name} did not start within {START:.0f} s: {path} says more")
            await asyncio.sleep(LOOK)
