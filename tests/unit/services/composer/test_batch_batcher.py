"""Who is joined with whom, and when; on a clock moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from inferloom.mesh.errors import DeadlineExceeded, InvalidInput, ReplicaError
from tests.unit.services.composer.composer_fakes import Arrays, FakeMesh, FakeModel, doubled, graph, step

PIPE = graph([step("a", "one", x="input.x")], {"y": "a.y"})


def mesh(**changes: Any) -> FakeMesh:
    return FakeMesh({"one": FakeModel(doubled, **{"seconds": 1.0, **changes})})


def rows(count: int, value: float = 1.0) -> list[list[float]]:
    return [[value, value]] * count


async def test_a_lone_request_goes_out_at_once() -> None:
    fake = mesh(seconds=0.0)
    pipeline = fake.pipeline(PIPE)
    began = fake.clock.now()
    answer = await fake.ask(pipeline, x=rows(1))  # no clock is moved: nothing waits for one
    assert answer.outputs["y"].tolist() == rows(1, 2.0)
    assert fake.clock.now() == began


async def test_while_a_batch_is_under_way_the_next_gathers() -> None:
    fake = mesh()
    pipeline = fake.pipeline(PIPE)
    first = asyncio.ensure_future(fake.ask(pipeline, x=rows(1)))
    await fake.clock.advance(0.5)
    answers = await fake.run(first, *(fake.ask(pipeline, x=rows(1, value)) for value in range(5)))
    assert [sent.rows for sent in fake.sent] == [1, 5]
    assert [answer.outputs["y"].tolist() for answer in answers[1:]] == [rows(1, 2.0 * value) for value in range(5)]
    assert fake.most_at_once == 1


async def test_as_many_batches_are_in_flight_as_replicas_times_instances() -> None:
    fake = mesh(width=3, most=2)
    pipeline = fake.pipeline(PIPE)
    await fake.run(*(fake.ask(pipeline, x=rows(2)) for _ in range(9)))
    assert fake.most_at_once == 3
    assert [sent.rows for sent in fake.sent] == [2] * 9


async def test_a_batch_is_never_larger_than_the_model_takes_and_no_request_is_divided() -> None:
    fake = mesh(most=8)
    pipeline = fake.pipeline(PIPE)
    await fake.run(*(fake.ask(pipeline, x=rows(3)) for _ in range(5)))
    assert [sent.rows for sent in fake.sent] == [6, 6, 3]


async def test_a_request_with_more_rows_than_the_model_takes_is_refused() -> None:
    fake = mesh(most=8)
    with pytest.raises(InvalidInput, match="9 rows; model 'one' takes at most 8 at once"):
        await fake.ask(fake.pipeline(PIPE), x=rows(9))


async def test_different_parameters_are_never_joined() -> None:
    fake = mesh()
    pipeline = fake.pipeline(PIPE)
    await fake.run(*(fake.ask(pipeline, x=rows(1), parameters={"mode": mode}) for mode in "abab"))
    assert [(sent.rows, sent.parameters) for sent in fake.sent] == [(2, {"mode": "a"}), (2, {"mode": "b"})]


async def test_the_batch_has_the_longest_deadline_and_each_caller_its_own() -> None:
    fake = mesh(seconds=1.0)
    pipeline = fake.pipeline(PIPE)
    began = fake.clock.now()
    short, long = await fake.run(fake.ask(pipeline, 0.5, x=rows(1)), fake.ask(pipeline, 5.0, x=rows(1, 3.0)))
    assert isinstance(short, DeadlineExceeded)
    assert long.outputs["y"].tolist() == rows(1, 6.0)
    assert [(sent.rows, sent.deadline - began) for sent in fake.sent] == [(2, 5.0)]


async def test_a_row_whose_caller_went_away_before_its_batch_began_is_dropped() -> None:
    fake = mesh()
    pipeline = fake.pipeline(PIPE)
    first = asyncio.ensure_future(fake.ask(pipeline, x=rows(1)))
    await fake.clock.advance(0.1)
    gone = asyncio.ensure_future(fake.ask(pipeline, x=rows(1)))
    stays = asyncio.ensure_future(fake.ask(pipeline, x=rows(1, 2.0)))
    await fake.clock.advance(0.1)
    gone.cancel()
    await fake.run(first, gone, stays)
    assert [sent.rows for sent in fake.sent] == [1, 1]
    assert stays.result().outputs["y"].tolist() == rows(1, 4.0)


async def test_a_batch_is_cancelled_when_the_last_of_its_callers_has_gone() -> None:
    fake = mesh(width=1)
    pipeline = fake.pipeline(PIPE)
    callers = [asyncio.ensure_future(fake.ask(pipeline, x=rows(1))) for _ in range(2)]
    await fake.clock.advance(0.1)
    callers[0].cancel()
    await fake.clock.advance(0.1)
    assert [sent.outcome for sent in fake.sent] == ["running"]
    callers[1].cancel()
    await fake.clock.advance(0.1)
    assert [sent.outcome for sent in fake.sent] == ["cancelled"]
    later = await fake.run(fake.ask(pipeline, x=rows(1, 5.0)))  # and the next one is served
    assert later[0].outputs["y"].tolist() == rows(1, 10.0)


def no_sevens(arrays: Arrays) -> Arrays:
    if (arrays["x"] == 7).any():
        raise ReplicaError(StatusCode.INTERNAL, "a seven")
    return {"y": arrays["x"] * 2}


async def test_one_bad_row_fails_its_own_caller_only() -> None:
    fake = FakeMesh({"one": FakeModel(no_sevens, seconds=0.1)})
    pipeline = fake.pipeline(PIPE)
    answers = await fake.run(*(fake.ask(pipeline, x=rows(1, float(value))) for value in range(8)))
    bad = answers.pop(7)
    assert isinstance(bad, ReplicaError)
    assert str(bad) == "pipeline 'p', node 'a': model 'one': a seven"
    assert [answer.outputs["y"][0, 0] for answer in answers] == [0, 2, 4, 6, 8, 10, 12]
    assert [sent.rows for sent in fake.sent] == [8, 4, 4, 2, 2, 1, 1]
    assert fake.groups["one"].budget.tokens < 100


async def test_without_retry_budget_all_of_a_poisoned_batch_get_the_error() -> None:
    fake = FakeMesh({"one": FakeModel(no_sevens, seconds=0.001)}, tokens=1.0)
    pipeline = fake.pipeline(PIPE)
    answers = await fake.run(*(fake.ask(pipeline, x=rows(1, float(value))) for value in range(6, 8)))
    assert [str(answer) for answer in answers] == ["pipeline 'p', node 'a': model 'one': a seven"] * 2
    assert answers[0] is not answers[1]


async def test_an_error_of_the_infrastructure_goes_to_all_and_costs_one_call() -> None:
    def down(arrays: Arrays) -> Arrays:
        raise ReplicaError(StatusCode.UNAVAILABLE, "gone")

    fake = FakeMesh({"one": FakeModel(down)})
    pipeline = fake.pipeline(PIPE)
    answers = await fake.run(*(fake.ask(pipeline, x=rows(1)) for _ in range(4)))
    assert [answer.code for answer in answers] == [StatusCode.UNAVAILABLE] * 4
    assert len(fake.sent) == 1


async def test_a_fallback_is_for_the_bad_row_and_not_for_those_beside_it() -> None:
    node = step("a", "one", x="input.x")
    node["step"]["on_error"] = {"value": {"values": {"y": [-1, -1]}}}
    fake = FakeMesh({"one": FakeModel(no_sevens, seconds=0.1)})
    pipeline = fake.pipeline(graph([node], {"y": "a.y"}))
    answers = await fake.run(*(fake.ask(pipeline, x=rows(1, float(value))) for value in (1, 7, 3)))
    assert [answer.outputs["y"][0, 0] for answer in answers] == [2, -1, 6]
    assert [answer.notes for answer in answers] == [{}, {"a.fallback": "value"}, {}]


async def test_a_model_that_loses_rows_is_an_error_for_all() -> None:
    fake = FakeMesh({"one": FakeModel(lambda arrays: {"y": arrays["x"][:1]}, seconds=0.1)})
    pipeline = fake.pipeline(PIPE)
    answers = await fake.run(*(fake.ask(pipeline, x=rows(1)) for _ in range(2)))
    assert all("2 rows went in" in str(answer) for answer in answers), answers


async def test_a_batch_travels_with_the_trace_of_its_first_and_nothing_else() -> None:
    fake = mesh(seconds=0.1)
    pipeline = fake.pipeline(PIPE)
    asked = [fake.ask(pipeline, x=rows(1), metadata=(("traceparent", text), ("user", text))) for text in "ab"]
    await fake.run(*asked)
    assert [sent.metadata for sent in fake.sent] == [(("traceparent", "a"),)]


async def test_texts_are_divided_by_their_own_lengths() -> None:
    from inferloom.clients.metadata import TensorSpec

    def named(arrays: Arrays) -> Arrays:
        return {"y": np.array([[b"%d" % row.sum() * 3] for row in arrays["x"]], object)}

    fake = FakeMesh({"one": FakeModel(named, outputs=(TensorSpec("y", "BYTES", (-1, 1)),), seconds=0.1)})
    pipeline = fake.pipeline(PIPE)
    answers = await fake.run(*(fake.ask(pipeline, x=rows(n, float(10**n))) for n in (1, 2, 3)))
    assert [answer.outputs["y"].tolist() for answer in answers] == [
        [[b"202020"]],
        [[b"200200200"]] * 2,
        [[b"200020002000"]] * 3,
    ]
