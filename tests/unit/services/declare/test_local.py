"""run_local: a service called right here, in a test, a script or a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InvalidInput, Unreachable
from inferloom.services.context import current
from inferloom.services.declare.model import model
from inferloom.services.declare.resource import resource
from inferloom.services.declare.service import service

digits = model("digits")
log: list[str] = []


@resource
def db() -> Iterator[dict[str, int]]:
    log.append("db opened")
    yield {"a": 1}
    log.append("db closed")


@service
class Look:
    async def start(self) -> None:
        log.append("start")

    async def close(self) -> None:
        log.append("close")

    async def predict(self, key: str) -> int:
        log.append("predict")
        return db.value[key]

    async def ask(self, pixels: list[float]) -> int:
        first, second = digits(pixels=pixels), digits(pixels=pixels)
        return int((await first).label[0] + (await second).label[0])

    async def lie(self, key: str) -> int:
        wrong: Any = "three"
        return wrong  # type: ignore[no-any-return]

    async def left(self, key: str) -> float:
        context = current.get()
        assert context is not None
        return context.deadline - SYSTEM.now()


look = service(Look)


def three(pixels: list[float]) -> dict[str, Any]:
    return {"label": [3]}


def test_instance_and_resources_live_for_the_call() -> None:
    log.clear()
    assert look.run_local(key="a") == 1
    assert log == ["db opened", "start", "predict", "close", "db closed"]


def test_they_are_closed_where_the_call_fails() -> None:
    log.clear()
    with pytest.raises(KeyError):
        look.run_local("b")
    assert log[-2:] == ["close", "db closed"]


def test_a_replaced_resource_is_not_opened() -> None:
    log.clear()
    with db.replaced({"a": 7}):
        assert look.run_local(key="a") == 7
    assert log == ["start", "predict", "close"]


def test_handles_are_given_as_functions() -> None:
    assert look.ask.run_local(pixels=[1.0], handles={"digits": three}) == 6


async def test_it_works_where_a_loop_runs_as_in_a_notebook() -> None:
    with digits.replaced(three):
        assert look.ask.run_local(pixels=[1.0]) == 6
        with pytest.raises(KeyError):
            look.run_local("b")


def test_what_is_called_and_not_replaced_names_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERLOOM_MESH", "127.0.0.1:1")
    with pytest.raises(Unreachable) as caught:
        look.ask.run_local(pixels=[1.0], handles={"digit": three})
    assert str(caught.value) == (
        "'digits' is called (replaced are digit), and no mesh answers: nothing listens at 127.0.0.1:1; give a function for "
        'it, run_local(..., handles={"digits": function}), or start a mesh with `inferloom up`'
    )


def test_an_answer_that_is_not_what_is_annotated_is_found_at_once() -> None:
    with pytest.raises(TypeError, match="int"):
        look.lie.run_local(key="a")


def test_arguments_that_it_does_not_take_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"Look\(key: str\) -> int: got an unexpected keyword argument 'kee'"):
        look.run_local("a", kee="b")


def test_a_call_has_a_deadline_as_in_the_mesh() -> None:
    assert 0 < look.left.run_local(key="a") <= 30


def test_it_leaves_no_loop_behind() -> None:
    look.run_local(key="a")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
