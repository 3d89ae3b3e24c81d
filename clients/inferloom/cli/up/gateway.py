"""Envoy in front of the router: the control plane and the edge as processes of their own, each kept running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from inferloom.cli.logs import FORMAT
from inferloom.cli.up.fleet import INFERLOOM
from inferloom.cli.up.keeper import Keeper
from inferloom.cli.up.where import Where
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import Address, free_port

__all__ = ["Gateway"]

START = 30.0  # seconds that each may take to say that it is ready
LOOK = 0.05  # seconds
TOLD = 1.0  # seconds between looks at what stays down
LEAVE = 5.0  # seconds beyond its drain time-out that an edge may take to end


class Gateway:
    """Of one mesh.

    Args:
        public: where Envoy listens, for gRPC and HTTP.
        router: where what Envoy does not answer itself goes.
        registry: as `--registry` takes it.
        logs: folder of the mesh's logs.
    """

    def __init__(self, public: Address, router: Where, registry: str, logs: Path) -> None:
        self._public = public
        self._router = router
        self._registry = registry
        self._logs = logs
        self._keepers: dict[str, Keeper] = {}
        self._drain_timeout = 0.0
        self.control = Address("127.0.0.1", free_port())

    @property
    def where(self) -> Where:
        """What clients need to know."""
        return Where(self._public, self._router.admin, str(self._public), self._drain)

    async def start(self, drain_timeout: float, max_message_mib: int) -> None:
        """Return once Envoy takes calls.

        Args:
            drain_timeout: seconds for what is in flight when it stops.

        Raises:
            InferloomError: one of them does not start; says why.
        """
        self._drain_timeout = drain_timeout
        options = ["--grpc", str(self.control), "--registry", self._registry, "--admin", "127.0.0.1:0"]
        options += ["--router", str(self._router.grpc), "--router-http", self._router.http]
        await self._start("control", options)
        options = ["--listen", str(self._public), "--control", str(self.control), "--admin", "127.0.0.1:0"]
        options += ["--drain-timeout", str(drain_timeout), "--max-message-mib", str(max_message_mib)]
        await self._start("edge", options)

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
            keeper = self._keepers.pop(name, None)
            if keeper is not None:
                await keeper.stop(self._drain_timeout + LEAVE)

    async def _drain(self) -> None:
        await self.close()
        await self._router.drain()

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
