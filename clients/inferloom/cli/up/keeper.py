"""A role as a process of its own, started again when it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.process import Child, start

__all__ = ["Keeper"]

log = structlog.get_logger(__name__)
RESTART = 1.0  # seconds before a process that ended is started again, doubled while it does not stay
LONGEST = 30.0
HEALTHY = 5.0  # seconds after which a process is taken to have started
MISUSED = 2  # exit status of a process that was told something wrong: starting it again would not help


class Keeper:
    """Keeps one process running until it is stopped.

    Attributes:
        trouble: why it stays down, "" while it is kept.

    Args:
        env: variables it gets beside those of this process.
    """

    def __init__(
        self,
        argv: Sequence[str],
        name: str,
        log_path: Path,
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._argv = list(argv)
        self._name = name
        self._log_path = log_path
        self._on_line = on_line
        self._env = {**os.environ, **env} if env else None
        self._again = asyncio.Event()
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=f"keep {self._name}")

    def kick(self) -> None:
        """Do not wait any longer before it is started again; where it stays down, try once more."""
        if self.trouble:
            self.trouble = ""
            self.start()
        self._again.set()

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._child is not None:
            await self._child.stop(grace)

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = SYSTEM.now()
            try:
                self._child = await start(
                    self._argv, name=self._name, log_path=self._log_path, on_line=self._on_line, env=self._env
                )
            except InferloomError as error:
                self.trouble = str(error)
                return
            code = await self._child.wait()
            healthy = SYSTEM.now() - began >= HEALTHY
            if code == MISUSED and failures == 0 and not healthy:
                last = next((line for line in reversed(self._child.tail) if line.strip()), "it ended with status 2")
                self.trouble = last.removeprefix("inferloom: ")
                return
            # It ran before with these options, so what is wrong now (its port taken meanwhile) may pass.
            failures = 1 if healthy else failures + 1
            log.warning("process ended and is started again", name=self._name, why=self._child.why())
            self._again.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), min(RESTART * 2 ** (failures - 1), LONGEST))
