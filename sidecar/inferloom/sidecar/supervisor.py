"""Keeps a Triton running: starts it, watches it, starts it again with backoff when it dies or hangs."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import structlog

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry.tracing import operation
from inferloom.sidecar.attached import Follower
from inferloom.sidecar.board import Board
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.diagnosis import why_ended
from inferloom.sidecar.lifecycle import Lifecycle, Scanner
from inferloom.sidecar.probes import Prober
from inferloom.sidecar.runtime import Runtime
from inferloom.sidecar.server import Server, StartFailed, attach, refuse_vulnerable, start_server
from inferloom.sidecar.triton import TritonError
from inferloom.sidecar.watchdog import Backoff, Watchdog

__all__ = ["Supervisor", "cancel"]

log = structlog.get_logger(__name__)

STOP_GRACE = 10.0  # seconds between SIGTERM and SIGKILL
ATTACHED_INTERVAL = 4  # scan intervals between looks at an attached Triton's index


class Supervisor:
    """One Triton after the other.

    Args:
        seen: waits until routers have had the time to see the records as they are now.

    Attributes:
        server: the Triton that runs now, if one does.
        generation: how many there have been.
    """

    def __init__(
        self,
        config: SidecarConfig,
        board: Board,
        seen: Callable[[], Coroutine[Any, Any, None]],
        clock: Clock,
        rng: random.Random,
        scan: Scanner,
    ) -> None:
        self._config = config
        self._board = board
        self._seen = seen
        self._clock = clock
        self._rng = rng
        self._scan = scan
        self.server: Server | None = None
        self.generation = 0

    async def run(self, runtime: Runtime | None) -> NoReturn:
        """Run one Triton after the other until cancelled, which leaves the present one running: `stop` ends it.

        Args:
            runtime: None attaches to the Triton of `triton_url`.

        Raises:
            ConfigError: the first one does not come up, or may not be registered.
        """
        backoff = Backoff(self._rng, self._config.restart_first, self._config.restart_most)
        first = True
        while True:
            self.generation += 1
            began = self._clock.now()
            try:
                with operation("start Triton", generation=self.generation):
                    self.server = await self._start(runtime)
            except (ConfigError, StartFailed) as error:
                if first:
                    raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from None
                reason = str(error)
                began = self._clock.now()  # not one healthy second
            else:
                reason = await self._live(self.server)
            first = False
            self._board.down(reason, lost=True)
            if self.server is not None:
                await self.server.stop(0.0)
                self.server = None
            pause = backoff.next(self._clock.now() - began)
            log.error("Triton is started again", reason=reason, pause=round(pause, 2))
            await self._clock.sleep(pause)

    async def stop(self) -> None:
        """End the present Triton; an attached one goes on."""
        if self.server is not None:
            await self.server.stop(STOP_GRACE)
            self.server = None

    async def _start(self, runtime: Runtime | None) -> Server:
        if runtime is None:
            server = await attach(self._config, self.generation)
        else:
            server = await start_server(runtime, self._config, self.generation)
        try:
            version = await server.client.version()
            refuse_vulnerable(version, server.life.host, allowed=self._config.allow_vulnerable_triton)
        except TritonError as error:
            await server.stop(0.0)
            raise StartFailed(f"Triton does not say its version: {error.text}") from None
        except ConfigError:
            await server.stop(STOP_GRACE)
            raise
        return server

    async def _live(self, server: Server) -> str:
        """Keep models loaded and records true while this Triton lives; returns why it is over."""
        self._board.begin(server.life)
        self._board.up()
        following = asyncio.create_task(self._follow(server), name="follow models")
        probing = asyncio.create_task(self._probe(server), name="probe Triton")
        tasks: list[asyncio.Task[Any]] = [following, probing]
        if server.child is not None:
            tasks.append(asyncio.create_task(server.child.wait(), name="wait for Triton"))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if server.child is not None and server.child.returncode is not None:
                reason = why_ended(server.child.returncode, server.child.head, server.child.tail)
            elif probing.done():
                reason = probing.result()
            else:
                following.result()
                raise AssertionError("following models never ends by itself")
            self._board.down(reason, lost=True)  # at once: what follows may take its time
            return reason
        finally:
            await cancel(*tasks)

    async def _follow(self, server: Server) -> None:
        """Keep what is loaded equal to the repository; of an attached Triton, follow what it has loaded."""
        config = self._config
        if config.attached:
            interval = config.scan_interval * ATTACHED_INTERVAL
            follower = Follower(server.client, self._board, self._clock, interval=interval, timeout=config.load_timeout)
            await follower.follow()
            return
        assert config.repository is not None
        lifecycle = Lifecycle(
            server.client,
            self._board,
            config.repository,
            self._scan,
            self._seen,
            self._clock,
            interval=config.scan_interval,
            timeout=config.load_timeout,
        )
        await lifecycle.follow()

    async def _probe(self, server: Server) -> str:
        config = self._config
        hung_after = math.inf if config.attached else config.hung_after
        watchdog = Watchdog(config.probes, hung_after, self._clock.now())
        prober = Prober(
            server.client,
            self._board,
            watchdog,
            self._clock,
            interval=config.probe_interval,
            timeout=config.probe_timeout,
        )
        return await prober.run()


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """End tasks and wait for them; what they raise by then is of no interest."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
