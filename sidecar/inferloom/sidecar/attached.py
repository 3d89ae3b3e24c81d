"""Follows the models of a Triton that somebody else runs: they are what its repository index says."""

from __future__ import annotations

import structlog

from inferloom.mesh.clock import Clock
from inferloom.sidecar.board import Board, Phase
from inferloom.sidecar.triton import ModelState, TritonClient, TritonError, one_line
from inferloom.sidecar.warm import first_request

__all__ = ["Follower"]

log = structlog.get_logger(__name__)


class Follower:
    """Reads the index every `interval` seconds; loads and unloads nothing."""

    def __init__(self, client: TritonClient, board: Board, clock: Clock, *, interval: float, timeout: float) -> None:
        self._client = client
        self._board = board
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._warmed: set[tuple[str, str]] = set()

    async def follow(self) -> None:
        """Until cancelled. A Triton that does not answer is the prober's business."""
        while True:
            try:
                await self._read()
            except TritonError as error:
                log.info("index not read", reason=error.text)
                self._warmed.clear()  # it may be another process that answers next
            await self._clock.sleep(self._interval)

    async def _read(self) -> None:
        index = await self._client.index()
        for name in self._board.models.keys() - index.keys():
            self._board.forget(name)
        for name, versions in index.items():
            ready = [version for version, state in versions.items() if state.state == "READY"]
            problem = _problem(versions)
            if not ready and not problem:
                self._warmed = {pair for pair in self._warmed if pair[0] != name}
                if name in self._board.models:
                    self._board.forget(name)
                continue
            known = self._board.models.get(name)
            for version in ready:
                if (name, version) not in self._warmed:
                    self._board.show(name, Phase.WARMING, problem)
                    await first_request(self._client, name, version, self._timeout)
                    self._warmed.add((name, version))
            if known is None or set(known.versions) != set(ready) or self._board.models[name].message != problem:
                self._board.show(name, Phase.SERVING if ready else Phase.FAILED, problem, ready)
        self._board.looked()


def _problem(versions: dict[str, ModelState]) -> str:
    """What is wrong with versions that did not load; one that was unloaded on purpose is nothing wrong."""
    faults = {v: s.reason for v, s in versions.items() if s.state == "UNAVAILABLE" and s.reason not in ("", "unloaded")}
    return "; ".join(f"version {version}: {one_line(reason)}" for version, reason in sorted(faults.items()))
