"""Probing on a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import cast

import grpc

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import ManualClock
from inferloom.sidecar.board import Board, Life, Phase
from inferloom.sidecar.probes import Prober
from inferloom.sidecar.triton import TritonClient, TritonError
from inferloom.sidecar.watchdog import Watchdog


class Answers:
    """In place of the connection: says what the test wants it to say."""

    def __init__(self) -> None:
        self.frozen = False
        self.not_ready: set[tuple[str, str]] = set()

    async def live(self, timeout: float | None = None) -> bool:
        if self.frozen:
            raise TritonError(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        return True

    async def ready(self, model: str, version: str = "", timeout: float | None = None) -> bool:
        return (model, version) not in self.not_ready


class Probed:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.answers = Answers()
        self.board = Board(Replica("", "a", "127.0.0.1", 0), lambda model, record: None)
        self.board.begin(Life("127.0.0.1", 1, 0, 1))
        self.board.up()
        self.board.show("m", Phase.SERVING, "version 3: broken", ("1", "2"))
        client = cast(TritonClient, self.answers)
        watchdog = Watchdog(3, 30.0, self.clock.now())
        prober = Prober(client, self.board, watchdog, self.clock, interval=1.0, timeout=1.0)
        self.task = asyncio.create_task(prober.run())

    @property
    def record(self) -> Replica:
        record = self.board.record("m")
        assert record is not None
        return record

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


async def test_out_after_three_probes_and_back_with_the_first_answer() -> None:
    it = Probed()
    await it.clock.advance(0.5)
    it.answers.frozen = True
    await it.clock.advance(2.0)
    assert it.record.state is State.SERVING
    await it.clock.advance(1.0)
    assert (it.record.state, it.record.problem) == (State.STARTING, "Triton does not answer (3 probes)")
    it.answers.frozen = False
    await it.clock.advance(1.0)
    assert (it.record.state, it.record.versions) == (State.SERVING, ("1", "2"))
    await it.end()


async def test_hung_for_thirty_seconds_ends_the_probing() -> None:
    it = Probed()
    await it.clock.advance(0.5)
    it.answers.frozen = True
    await it.clock.advance(28.0)
    assert not it.task.done()
    await it.clock.advance(2.0)
    assert it.task.result() == "Triton has not answered 30 probes in a row"


async def test_a_version_that_is_not_ready_leaves_the_record_and_comes_back() -> None:
    it = Probed()
    it.answers.not_ready = {("m", "1")}
    await it.clock.advance(1.0)
    assert (it.record.state, it.record.versions) == (State.SERVING, ("2",))
    assert it.record.problem == "version 3: broken; Triton says that version 1 is not ready"
    it.answers.not_ready = {("m", "1"), ("m", "2")}
    await it.clock.advance(1.0)
    assert (it.record.state, it.record.versions) == (State.STARTING, ())
    it.answers.not_ready = set()
    await it.clock.advance(1.0)
    assert (it.record.state, it.record.versions, it.record.problem) == (
        State.SERVING,
        ("1", "2"),
        "version 3: broken",
    )
    await it.end()


async def test_a_model_that_is_being_loaded_is_left_to_its_loader() -> None:
    it = Probed()
    it.board.show("m", Phase.LOADING, "loading version 3")
    it.answers.not_ready = {("m", "1")}
    await it.clock.advance(3.0)
    assert it.record.versions == ("1", "2")
    await it.end()
