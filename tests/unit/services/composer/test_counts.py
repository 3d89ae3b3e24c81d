"""What pipelines count of their nodes and batches."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode

from inferloom.mesh.errors import ReplicaError
from inferloom.services.composer.pipeline import Pipeline
from inferloom.services.composer.pipeline_metrics import pipeline_metrics
from tests.unit.services.composer.composer_fakes import Arrays, FakeMesh, FakeModel, doubled, graph, step

ONE = [[1.0, 2.0]]


def broken(arrays: Arrays) -> Arrays:
    raise ReplicaError(StatusCode.UNAVAILABLE, "it is broken")


def told(*pipelines: Pipeline) -> dict[tuple[str, ...], float]:
    """By name and label values; of histograms the sum and the count."""
    families = pipeline_metrics(pipeline.plan for pipeline in pipelines)
    return {
        (s.name, *s.labels.values()): s.value for family in families for s in family.samples if "le" not in s.labels
    }


async def test_batches_count_their_rows_and_how_long_requests_waited_for_them() -> None:
    """One goes out alone and takes a second; three come half a second later and go together."""
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=1.0)})
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x")], {"y": "a.y"}))
    first = asyncio.ensure_future(mesh.ask(pipeline, x=ONE))
    await mesh.clock.advance(0.5)
    others = [asyncio.ensure_future(mesh.ask(pipeline, x=ONE)) for _ in range(3)]
    await mesh.clock.advance(0.1)
    found = told(pipeline)
    assert (found["inferloom_batch_waiting_rows", "p", "a"], found["inferloom_batch_in_flight", "p", "a"]) == (3, 1)
    await mesh.run(first, *others)
    found = told(pipeline)
    assert (found["inferloom_batch_rows_count", "p", "a"], found["inferloom_batch_rows_sum", "p", "a"]) == (2, 4)
    assert found["inferloom_batch_requests_total", "p", "a"] == 4
    assert found["inferloom_batch_queue_seconds_sum", "p", "a"] == pytest.approx(1.5, abs=0.05)
    assert found["inferloom_pipeline_node_duration_seconds_count", "p", "a", "OK"] == 2
    assert found["inferloom_pipeline_node_duration_seconds_sum", "p", "a", "OK"] == pytest.approx(2.0, abs=0.05)


async def test_a_node_that_fails_is_counted_by_code_and_what_stood_in_for_it_too() -> None:
    mesh = FakeMesh({"bad": FakeModel(broken), "one": FakeModel(doubled)})
    alone = mesh.pipeline(graph([step("a", "bad", x="input.x")], {"y": "a.y"}))
    await mesh.run(mesh.ask(alone, x=ONE))
    found = told(alone)
    assert found["inferloom_pipeline_node_duration_seconds_count", "p", "a", "UNAVAILABLE"] == 1
    assert found["inferloom_pipeline_node_stood_in_total", "p", "a"] == 0

    node = step("a", "bad", x="input.x")
    node["step"]["on_error"] = {"model": "one"}
    helped = mesh.pipeline(graph([node], {"y": "a.y"}))
    await mesh.run(mesh.ask(helped, x=ONE))
    found = told(helped)
    assert found["inferloom_pipeline_node_duration_seconds_count", "p", "a", "OK"] == 1
    assert found["inferloom_pipeline_node_stood_in_total", "p", "a"] == 1


async def test_a_node_whose_caller_went_away_is_cancelled() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=5.0)})
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x")], {"y": "a.y"}), batching=False)
    asking = asyncio.ensure_future(mesh.ask(pipeline, x=ONE))
    await mesh.clock.advance(0.5)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert told(pipeline)["inferloom_pipeline_node_duration_seconds_count", "p", "a", "CANCELLED"] == 1


async def test_labels_go_with_the_pipeline() -> None:
    assert told() == {}
