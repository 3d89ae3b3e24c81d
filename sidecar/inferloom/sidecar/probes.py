"""Asks Triton, about every second, whether it and each of its models is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from inferloom.mesh.clock import Clock
from inferloom.sidecar.board import Board, Phase
from inferloom.sidecar.triton import TritonClient, TritonError
from inferloom.sidecar.watchdog import Verdict, Watchdog

__all__ = ["Prober"]

log = structlog.get_logger(__name__)

AT_ONCE = 8


class Prober:
    """Runs while a Triton lives; ends when it has been hung for too long.

    Args:
        interval: seconds from the beginning of one round to that of the next.
        timeout: seconds for each probe.
    """

    def __init__(
        self, client: TritonClient, board: Board, watchdog: Watchdog, clock: Clock, *, interval: float, timeout: float
    ) -> None:
        self._client = client
        self._board = board
        self._watchdog = watchdog
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._not_ready: dict[str, tuple[str, ...]] = {}  # model -> versions taken out because they are not ready
        self._said: dict[str, str] = {}  # model -> what was said of it before that
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> str:
        """Probe until Triton is hung; returns why."""
        before = Verdict.UP
        while True:
            began = self._clock.now()
            verdict = await self._round()
            if verdict is Verdict.OUT and before is not Verdict.OUT:
                problem = f"Triton does not answer ({self._watchdog.missed} probes)"
                log.warning("out of routing", reason=problem)
                self._board.down(problem, lost=False)
            elif verdict is Verdict.UP and before is Verdict.OUT:
                log.info("Triton answers again")
                self._board.up()
            elif verdict is Verdict.HUNG:
                return f"Triton has not answered {self._watchdog.missed} probes in a row"
            before = verdict
            await self._clock.sleep(max(0.0, began + self._interval - self._clock.now()))

    async def _round(self) -> Verdict:
        try:
            answers = await self._client.live(self._timeout)
        except TritonError:
            answers = False
        if not answers:
            return self._watchdog.missing(self._clock.now())
        watched = [m for m in self._board.models.values() if m.phase is Phase.SERVING or m.model in self._not_ready]
        await asyncio.gather(*(self._model(m.model, {*m.versions, *self._not_ready.get(m.model, ())}) for m in watched))
        return self._watchdog.answered(self._clock.now())

    async def _model(self, name: str, versions: Iterable[str]) -> None:
        states = {version: await self._ready(name, version) for version in versions}
        status = self._board.models.get(name)
        if status is None or status.phase not in (Phase.SERVING, Phase.FAILED):
            self._not_ready.pop(name, None)  # being loaded or drained: the lifecycle has the word
            self._said.pop(name, None)
            return
        lost = tuple(sorted(version for version, ready in states.items() if not ready))
        known = self._not_ready.get(name, ())
        if lost == known:
            return
        good = sorted({*status.versions, *known} - {*lost})
        before = self._said.setdefault(name, status.message)
        if lost:
            self._not_ready[name] = lost
            problem = "; ".join(filter(None, (before, f"Triton says that version {', '.join(lost)} is not ready")))
            log.warning("not ready", model=name, versions=lost)
        else:
            self._not_ready.pop(name, None)
            problem = self._said.pop(name)
        self._board.show(name, Phase.SERVING if good else Phase.FAILED, problem, good)

    async def _ready(self, name: str, version: str) -> bool:
        async with self._room:
            try:
                return await self._client.ready(name, version, self._timeout)
            except TritonError as error:
                log.debug("probe failed", model=name, version=version, error=error.text)
                return False
