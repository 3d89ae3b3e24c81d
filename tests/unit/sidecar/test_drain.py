"""Waiting for what is in flight, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.sidecar import drain
from inferloom.sidecar.drain import wait_until_idle
from inferloom.sidecar.server import Server
from inferloom.sidecar.triton import ModelState


class Busy:
    """A Triton with requests that wait and requests that run."""

    def __init__(self, pending: int, running: int) -> None:
        self.pending = pending
        self.running = running
        self.unloaded: list[str] = []
        self.client = self
        self.metrics_port = 1

    async def unload(self, name: str, timeout: float) -> None:
        assert not self.pending, "what waits would be refused"
        self.unloaded.append(name)

    async def index(self) -> dict[str, dict[str, ModelState]]:
        state = "READY" if not self.unloaded else "UNLOADING" if self.running else "UNAVAILABLE"
        return {"m": {"1": ModelState(state, "")}, "broken": {"1": ModelState("UNAVAILABLE", "no such file")}}


class Drained:
    def __init__(self, pending: int, running: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = ManualClock()
        self.triton = Busy(pending, running)

        async def count(server: Server) -> float:
            return self.triton.pending

        monkeypatch.setattr(drain, "_pending", count)
        self.task = asyncio.create_task(wait_until_idle(cast(Server, self.triton), ["m", "broken"], self.clock, 30.0))


async def test_models_are_unloaded_once_nothing_waits_and_done_once_nothing_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    it = Drained(2, 1, monkeypatch)
    await it.clock.advance(0.0)
    await it.clock.advance(5.0)
    assert it.triton.unloaded == []
    it.triton.pending = 0
    await it.clock.advance(5.0)
    assert it.triton.unloaded == ["m"]
    assert not it.task.done()
    it.triton.running = 0
    await it.clock.advance(1.0)
    assert it.task.result() is True


@pytest.mark.parametrize(("pending", "running"), [(1, 0), (0, 1)])
async def test_it_is_given_up_after_the_timeout(pending: int, running: int, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Drained(pending, running, monkeypatch)
    await it.clock.advance(0.0)
    await it.clock.advance(29.0)
    assert not it.task.done()
    await it.clock.advance(2.0)
    assert it.task.result() is False
