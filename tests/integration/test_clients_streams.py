"""Streams of the asynchronous client against a real Triton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from inferloom.sdk import DeadlineExceeded, InvalidInput, MeshClient, ReplicaError, Unsupported
from tests.support.client_models import write_models
from tests.support.triton import Triton, running_triton


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("streams")
    write_models(folder / "models")
    with running_triton(folder / "models", folder / "triton.log") as server:
        yield server


@pytest.fixture
async def mesh(triton: Triton) -> AsyncIterator[MeshClient]:
    async with MeshClient(triton.grpc) as client:
        yield client


async def test_a_decoupled_model_answers_any_number_of_times(mesh: MeshClient) -> None:
    turns = [int(out.turn[0]) async for out in mesh.stream("repeat", {"times": [3]})]
    assert turns == [0, 1, 2]
    assert [out async for out in mesh.stream("repeat", [0])] == []
    with pytest.raises(Unsupported, match=r"repeat gives any number of answers per request: use stream\(...\)"):
        await mesh.infer("repeat", [3])


async def test_answers_of_a_stream_name_their_requests(mesh: MeshClient) -> None:
    found: dict[str, list[int]] = {}
    async for out in mesh.stream("repeat", [{"times": [2]}, {"times": [1]}, {"times": [3]}]):
        found.setdefault(out.id, []).append(int(out.turn[0]))
    assert found == {"0": [0, 1], "1": [0], "2": [0, 1, 2]}


async def test_requests_of_a_stream_may_depend_on_its_answers(mesh: MeshClient) -> None:
    queue: asyncio.Queue[list[int] | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[list[int]]:
        while (item := await queue.get()) is not None:
            yield item

    await queue.put([1, 0, 0, 0])
    seen = []
    async for out in mesh.stream("double", requests()):
        seen.append(float(out.y[0, 0]))
        await queue.put([int(seen[-1]), 0, 0, 0] if len(seen) < 4 else None)
    assert seen == [2, 4, 8, 16]


async def test_an_error_of_one_message_comes_as_a_result_and_the_stream_lives(mesh: MeshClient) -> None:
    stream = mesh.stream("repeat", [{"times": [1]}, {"times": [-1]}, {"times": [1]}], on_error="yield")
    found = {out.id: out async for out in stream}
    assert found["0"].error is None
    assert str(found["1"].error) == "times is negative"
    with pytest.raises(ReplicaError, match="times is negative"):
        _ = found["1"].turn
    assert found["2"].turn.tolist() == [0]


async def test_an_error_of_one_message_that_is_raised_leaves_the_stream_alive(mesh: MeshClient) -> None:
    stream = mesh.stream("repeat", [{"times": [-1]}, {"times": [1]}])
    answers, errors = 0, 0
    while True:
        try:
            async for _ in stream:
                answers += 1
            break
        except ReplicaError:
            errors += 1
    assert (answers, errors) == (1, 1)


async def test_a_wrong_request_of_a_stream_is_explained(mesh: MeshClient) -> None:
    with pytest.raises(
        InvalidInput, match=r"no input 'time'; repeat takes times INT32 \[1\] \(did you mean 'times'\?\)"
    ):
        await anext(mesh.stream("repeat", {"time": [1]}))


async def test_an_error_of_the_callers_own_requests_is_raised(mesh: MeshClient) -> None:
    def requests() -> Iterator[list[int]]:
        yield [1]
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        _ = [out async for out in mesh.stream("repeat", requests())]


async def test_a_stream_keeps_the_deadline_it_was_given(mesh: MeshClient) -> None:
    with pytest.raises(DeadlineExceeded, match=r"no answer from sleep within 0\.3 s"):
        await anext(mesh.stream("sleep", [[5.0]], timeout=0.3))


async def test_a_stream_that_is_left_leaves_nothing_behind(mesh: MeshClient) -> None:
    before = asyncio.all_tasks()
    for _ in range(3):
        async for _ in mesh.stream("repeat", {"times": [50]}):
            break
    async with mesh.stream("repeat", {"times": [50]}) as stream:
        await anext(stream)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_cancelling_the_reader_of_a_stream_ends_it(mesh: MeshClient) -> None:
    task = asyncio.create_task(anext(mesh.stream("sleep", [[10.0]])))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await mesh.infer("sleep", [0.0], timeout=5)).ran.shape == (1, 1)
