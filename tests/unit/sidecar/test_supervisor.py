"""One Triton after the other, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ConfigError
from inferloom.sidecar import supervisor
from inferloom.sidecar.board import Board, Life, Phase
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.runtime import PathRuntime
from inferloom.sidecar.server import Server, StartFailed
from inferloom.sidecar.supervisor import Supervisor
from inferloom.sidecar.triton import TritonClient, TritonError


class FakeTriton:
    """Process and connection of one run."""

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.head: list[str] = []
        self.tail: list[str] = []
        self.frozen = False
        self.stopped_with: float | None = None
        self.ended = asyncio.Event()

    def die(self) -> None:
        self.returncode = -9
        self.ended.set()

    async def wait(self) -> int:
        await self.ended.wait()
        return -9

    async def stop(self, grace: float) -> int:
        self.stopped_with = grace
        return -9

    async def close(self) -> None:
        return None

    async def version(self) -> str:
        return "2.59.0"

    async def live(self, timeout: float | None = None) -> bool:
        if self.frozen:
            raise TritonError(grpc.StatusCode.DEADLINE_EXCEEDED, "")
        return True


class Supervised:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.clock = ManualClock()
        self.started: list[tuple[float, FakeTriton]] = []
        self.fails: set[int] = set()
        self.board = Board(Replica("", "a", "127.0.0.1", 0), lambda model, record: None)
        config = SidecarConfig(repository=folder)

        async def start(runtime: Any, config: SidecarConfig, generation: int) -> Server:
            if generation in self.fails:
                raise StartFailed("Triton: no such file")
            triton = FakeTriton()
            self.started.append((self.clock.now(), triton))
            life = Life("127.0.0.1", 1000 + generation, 0, generation)
            return Server(life, cast(TritonClient, triton), cast(Any, triton))

        async def seen() -> None:
            return None

        async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

        monkeypatch.setattr(supervisor, "start_server", start)
        monkeypatch.setattr(asyncio, "to_thread", at_once)
        self.supervisor = Supervisor(config, self.board, seen, self.clock, random.Random(1), lambda path: {})
        self.task = asyncio.create_task(self.supervisor.run(PathRuntime("tritonserver")))

    async def until_started(self, count: int) -> None:
        """Move on, second by second, until so many have been started."""
        for _ in range(200):
            if len(self.started) >= count:
                return
            await self.clock.advance(1.0)
        raise AssertionError(f"{len(self.started)} started")

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_a_dead_one_is_started_again_with_growing_pauses_and_generations(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    it = Supervised(monkeypatch, tmp_path)
    for count in range(1, 6):
        await it.until_started(count)
        assert it.board.status.value.generation == count
        it.started[-1][1].die()
        await it.clock.advance(0.0)
        assert it.board.status.value.phase is Phase.DOWN
        assert it.board.status.value.message == "Triton was ended by SIGKILL"
    times = [time for time, _ in it.started]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(step / 2 <= pause <= step + 1 for step, pause in zip((1, 2, 4, 8), pauses, strict=True)), pauses
    await it.end()


async def test_a_hung_one_is_killed_without_grace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    it = Supervised(monkeypatch, tmp_path)
    await it.until_started(1)
    it.started[0][1].frozen = True
    began = it.clock.now()
    await it.until_started(2)
    assert 30 <= it.started[1][0] - began <= 33
    assert it.started[0][1].stopped_with == 0.0
    await it.end()


async def test_a_start_that_fails_ends_the_sidecar_the_first_time_and_is_tried_again_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    it = Supervised(monkeypatch, tmp_path)
    it.fails = {1}
    with pytest.raises(ConfigError, match="Triton: no such file"):
        await it.task
    it = Supervised(monkeypatch, tmp_path)
    it.fails = {2, 3}
    await it.until_started(1)
    it.started[0][1].die()
    await it.until_started(2)
    assert it.board.status.value.generation == 4
    await it.end()


async def test_cancelling_leaves_the_present_one_for_the_drain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    it = Supervised(monkeypatch, tmp_path)
    await it.until_started(1)
    await it.end()
    assert it.supervisor.server is not None
    assert it.started[0][1].stopped_with is None
    await it.supervisor.stop()
    assert it.started[0][1].stopped_with == supervisor.STOP_GRACE
