"""From what a sidecar knows of its models to the records it publishes."""

from __future__ import annotations

from inferloom.mesh.catalog import Replica, State
from inferloom.sidecar.board import Board, Life, Phase

FIRST = Life("127.0.0.1", 1001, 1002, 1)
SECOND = Life("127.0.0.1", 2001, 2002, 2)


class Published:
    def __init__(self) -> None:
        self.records: list[tuple[str, Replica | None]] = []
        record = Replica(model="", id="a", host="127.0.0.1", port=0, weight=2.0, locality="eu/a")
        self.board = Board(record, lambda model, record: self.records.append((model, record)))
        self.board.check = "127.0.0.1:9"

    def last(self) -> Replica:
        record = self.records[-1][1]
        assert record is not None
        return record


def serving() -> Published:
    it = Published()
    it.board.begin(FIRST)
    it.board.up()
    it.board.show("m", Phase.SERVING, versions=("10", "9"))
    return it


def test_a_serving_model_is_registered_with_its_versions_oldest_first() -> None:
    it = serving()
    assert it.last() == Replica(
        "m", "a", "127.0.0.1", 1001, State.SERVING, ("9", "10"), 1002, 2.0, "eu/a", 1, check="127.0.0.1:9"
    )


def test_a_model_that_loads_is_starting_which_is_no_problem() -> None:
    it = Published()
    it.board.begin(FIRST)
    it.board.up()
    it.board.show("m", Phase.LOADING, "loading version 1")
    assert (it.last().state, it.last().versions, it.last().problem) == (State.STARTING, (), "")
    assert it.board.models["m"].message == "loading version 1"


def test_a_model_that_loads_a_further_version_goes_on_serving() -> None:
    it = serving()
    it.board.show("m", Phase.LOADING, "loading version 11")
    assert (it.last().state, it.last().versions) == (State.SERVING, ("9", "10"))


def test_while_triton_does_not_answer_nothing_serves_and_nothing_is_forgotten() -> None:
    it = serving()
    it.board.down("does not answer", lost=False)
    assert (it.last().state, it.last().problem) == (State.STARTING, "does not answer")
    it.board.up()
    assert (it.last().state, it.last().versions, it.last().problem) == (State.SERVING, ("9", "10"), "")


def test_after_a_death_the_old_address_stays_until_the_new_triton_serves() -> None:
    it = serving()
    it.board.down("was killed", lost=True)
    assert (it.last().versions, it.last().port) == ((), 1001)
    it.board.begin(SECOND)
    it.board.up()
    it.board.show("m", Phase.LOADING, "loading")
    assert (it.last().state, it.last().port, it.last().generation) == (State.STARTING, 1001, 1)
    it.board.show("m", Phase.SERVING, versions=("9",))
    assert (it.last().state, it.last().port, it.last().generation) == (State.SERVING, 2001, 2)


def test_draining_is_told_of_every_model_and_keeps_the_address() -> None:
    it = serving()
    it.board.show("n", Phase.FAILED, "broken", ())
    it.board.draining()
    assert {model: record.state for model, record in it.records[-2:] if record} == {
        "m": State.DRAINING,
        "n": State.DRAINING,
    }


def test_a_model_that_is_forgotten_is_deregistered_once() -> None:
    it = serving()
    it.board.forget("m")
    it.board.forget("m")
    assert it.records[-1] == ("m", None)
    assert len(it.records) == 2
    assert it.board.record("m") is None


def test_what_does_not_change_is_not_published_again() -> None:
    it = serving()
    it.board.show("m", Phase.SERVING, versions=("9", "10"))
    it.board.up()
    assert len(it.records) == 1
