"""Python steps: where they run, and what becomes of their errors and deadlines."""

from __future__ import annotations

import asyncio
import threading
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
from grpc import StatusCode

from inferloom.mesh.clock import SYSTEM, ManualClock
from inferloom.mesh.errors import DeadlineExceeded, InvalidInput, ReplicaError
from inferloom.sdk import shape, step
from inferloom.services.composer.pool import Pools
from inferloom.services.composer.run import Frame, Segment
from inferloom.services.composer.steps import FunctionCallee
from inferloom.services.context import current
from inferloom.services.tensor import Tensor
from tests.unit.services.composer.composer_fakes import FakeMesh, FakeModel, doubled, graph

Floats = Annotated[npt.NDArray[np.float32], shape(-1, 2)]


@step
def in_a_thread(x: Floats) -> Floats:
    assert threading.current_thread() is not threading.main_thread()
    return x + np.float32(1)


@step
async def in_the_loop(x: Floats) -> Floats:
    context = current.get()
    assert context is not None
    await asyncio.sleep(0)
    return x * np.float32(context.deadline)


@step(inline=True)
def inline(x: Floats) -> Floats:
    assert threading.current_thread() is threading.main_thread()
    return x


@step(rows=True, inline=True)
def row_wise(x: Floats) -> Floats:
    return np.asarray(x * np.float32(3))


@step(rows=True, inline=True)
def picky(x: Floats) -> Floats:
    if (x == 7).any():
        raise ValueError("a seven")
    return x


@step
async def never(x: Floats) -> Floats:
    await asyncio.Event().wait()
    return x


X = {"x": Tensor.of(np.ones((1, 2), np.float32))}


def frame(deadline: float) -> Frame:
    return Frame(Segment([], [], []), [], deadline)


def callee(declared: Any, clock: Any) -> FunctionCallee:
    return FunctionCallee(declared.declaration, clock, Pools(clock))


async def ask(function: FunctionCallee, seconds: float = 30.0, **inputs: Tensor) -> Any:
    deadline = SYSTEM.now() + seconds
    found = await function.call(inputs or X, frame(deadline), deadline)
    [tensor] = found.values()
    return tensor.array.tolist()


async def test_a_plain_function_runs_in_a_thread() -> None:
    assert await ask(callee(in_a_thread, SYSTEM)) == [[2.0, 2.0]]


async def test_an_async_one_runs_in_the_loop_and_knows_its_deadline() -> None:
    clock = ManualClock()
    found = await callee(in_the_loop, clock).call(X, frame(2000.0), 1500.0)
    assert found["result"].array.tolist() == [[1500.0, 1500.0]]
    assert current.get() is None


async def test_an_inline_one_runs_where_it_is() -> None:
    assert await ask(callee(inline, SYSTEM)) == [[1.0, 1.0]]


async def test_one_that_does_not_return_is_ended_by_its_deadline() -> None:
    clock = ManualClock()
    task = asyncio.ensure_future(callee(never, clock).call(X, frame(1003.0), 1002.0))
    await clock.advance(1.9)
    assert not task.done()
    await clock.advance(0.2)
    assert isinstance(task.exception(), DeadlineExceeded)


async def test_a_caller_who_goes_away_cancels_it() -> None:
    task = asyncio.ensure_future(ask(callee(never, SYSTEM)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_exception_is_unknown_with_its_type_and_message() -> None:
    with pytest.raises(ReplicaError, match=r"^ValueError: a seven$") as raised:
        await ask(callee(picky, SYSTEM), x=Tensor.of(np.full((1, 2), 7, np.float32)))
    assert raised.value.code is StatusCode.UNKNOWN


async def test_a_tensor_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInput, match="x"):
        await ask(callee(inline, SYSTEM), x=Tensor.of(np.ones((1, 3), np.float32)))


async def test_row_wise_ones_are_joined_and_a_bad_row_fails_its_own_caller() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled)})
    name = picky.declaration.reference
    nodes = [
        {"name": "a", "step": {"function": name, "inputs": {"x": "input.x"}}},
        {"name": "b", "step": {"function": row_wise.declaration.reference, "inputs": {"x": "a.result"}}},
        {"name": "c", "step": {"model": "one", "inputs": {"x": "b.result"}}},
    ]
    pipeline = mesh.pipeline(graph(nodes, {"y": "c.y"}), [picky.declaration, row_wise.declaration])
    answers = await mesh.run(*(mesh.ask(pipeline, x=[[float(value)] * 2]) for value in (1, 7, 3)))
    assert [getattr(answer, "outputs", {"y": None})["y"] is not None for answer in answers] == [True, False, True]
    assert str(answers[1]) == "pipeline 'p', node 'a': step 'picky': ValueError: a seven"
    assert answers[2].outputs["y"].tolist() == [[18.0, 18.0]]
    assert pipeline.max_batch_size == 8
