"""Deadlines, cancellation, errors, ensembles and routes; on a clock moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import DeadlineExceeded, InvalidInput, ModelNotFound, ReplicaError
from inferloom.mesh.router.mirror import LARGEST
from inferloom.mesh.splits.figures import MirrorFigures
from inferloom.services.composer.splitting import Mirroring
from tests.unit.services.composer.composer_fakes import Arrays, FakeMesh, FakeModel, doubled, graph, step

ONE = [[1.0, 2.0]]


def fails(code: StatusCode = StatusCode.UNAVAILABLE) -> FakeModel:
    def function(arrays: Arrays) -> Arrays:
        raise ReplicaError(code, "broken")

    return FakeModel(function)


def ensemble(members: list[str], **more: Any) -> dict[str, Any]:
    parts = [{"name": name, "step": {"model": name, "inputs": {"x": "input.x"}}} for name in members]
    return {"name": "e", "ensemble": {"combine": "mean", "output": "y", "members": parts, **more}}


def route(arms: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"name": "r", "route": {"arms": arms, **more}}


async def test_branches_run_at_once_and_a_chain_one_after_the_other() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=1.0, most=0), "two": FakeModel(doubled, seconds=1.0, most=0)})
    nodes = [step("a", "one", x="input.x"), step("b", "two", x="input.x"), step("c", "one", x="a.y")]
    pipeline = mesh.pipeline(graph(nodes, {"b": "b.y", "c": "c.y"}))
    began = mesh.clock.now()
    [answer] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert answer.outputs["c"].tolist() == [[4.0, 8.0]]
    assert mesh.clock.now() - began == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("most", [0, 8])
async def test_the_first_failure_cancels_what_still_runs(most: int) -> None:
    mesh = FakeMesh({"slow": FakeModel(doubled, seconds=5.0, most=most), "bad": fails()})
    mesh.models["bad"].seconds = 0.1
    nodes = [step("a", "slow", x="input.x"), step("b", "bad", x="input.x")]
    pipeline = mesh.pipeline(graph(nodes, {"a": "a.y", "b": "b.y"}))
    began = mesh.clock.now()
    [error] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert str(error) == "pipeline 'p', node 'b': model 'bad': broken"
    assert mesh.clock.now() - began < 0.5
    assert {sent.model: sent.outcome for sent in mesh.sent} == {"slow": "cancelled", "bad": "failed"}


@pytest.mark.parametrize("most", [0, 8])
async def test_a_caller_who_goes_away_cancels_every_branch(most: int) -> None:
    mesh = FakeMesh({name: FakeModel(doubled, seconds=5.0, most=most) for name in ("one", "two", "three")})
    pipeline = mesh.pipeline(
        graph([ensemble(["one", "two"]), step("c", "three", x="input.x")], {"e": "e.y", "c": "c.y"})
    )
    asked = asyncio.ensure_future(mesh.ask(pipeline, x=ONE))
    await mesh.clock.advance(1.0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await mesh.clock.advance(0.1)
    assert [sent.outcome for sent in mesh.sent] == ["cancelled"] * 3


async def test_each_step_gets_what_is_left_and_no_more_than_its_own_time() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=0.4, most=0)})
    second = step("b", "one", x="a.y")
    second["step"]["timeout"] = "200ms"
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x"), second], {"y": "b.y"}, timeout="2s"))
    began = mesh.clock.now()
    [error] = await mesh.run(mesh.ask(pipeline, 10.0, x=ONE))
    assert [sent.deadline - began for sent in mesh.sent] == pytest.approx([2.0, 0.6], abs=0.05)
    assert error.code is StatusCode.DEADLINE_EXCEEDED
    assert "node 'b'" in str(error)


async def test_a_model_that_is_gone_is_unavailable_and_named() -> None:
    mesh = FakeMesh({"svm": FakeModel(doubled)})

    def gone(arrays: Arrays) -> Arrays:
        raise ModelNotFound("svm")

    mesh.models["svm"].function = gone
    pipeline = mesh.pipeline(graph([step("a", "svm", x="input.x")], {"y": "a.y"}))
    [error] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert error.code is StatusCode.UNAVAILABLE
    assert str(error) == "pipeline 'p', node 'a': model 'svm': model 'svm' not found"


async def test_a_step_is_repeated_as_often_as_it_says_where_that_is_safe() -> None:
    for repeat, calls in ((Repeat.ANY, 3), (Repeat.UNBEGUN, 1), (Repeat.NEVER, 1)):
        mesh = FakeMesh({"bad": fails()})
        mesh.models["bad"].repeat = repeat
        mesh = FakeMesh(mesh.models)
        node = step("a", "bad", x="input.x")
        node["step"]["attempts"] = 3
        [error] = await mesh.run(mesh.ask(mesh.pipeline(graph([node], {"y": "a.y"})), x=ONE))
        assert error.code is StatusCode.UNAVAILABLE
        assert len(mesh.sent) == calls, repeat


async def test_what_was_skipped_is_left_out_of_the_answer_and_said() -> None:
    mesh = FakeMesh({"bad": fails(), "one": FakeModel(doubled)})
    bad = step("a", "bad", x="input.x")
    bad["step"]["on_error"] = {"skip": True}
    pipeline = mesh.pipeline(
        graph([bad, step("b", "one", x="a.y"), step("c", "one", x="input.x")], {"b": "b.y", "c": "c.y"})
    )
    [answer] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert list(answer.outputs) == ["c"]
    assert "broken" in answer.notes["a.skipped"]


async def test_a_quorum_survives_a_dead_and_a_late_member_and_says_so() -> None:
    models = {"good": FakeModel(doubled, seconds=0.01), "late": FakeModel(doubled, seconds=9.0), "dead": fails()}
    mesh = FakeMesh(models)
    pipeline = mesh.pipeline(graph([ensemble(["good", "late", "dead"], quorum=1, wait="50ms")], {"y": "e.y"}))
    began = mesh.clock.now()
    [answer] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert answer.outputs["y"].tolist() == [[2.0, 4.0]]
    assert answer.notes == {"e.answered": "good", "e.late": "late", "e.failed": "dead"}
    assert mesh.clock.now() - began == pytest.approx(0.05, abs=0.02)
    assert next(sent for sent in mesh.sent if sent.model == "late").outcome == "cancelled"


async def test_the_wait_does_not_end_before_there_is_a_quorum() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=0.3), "two": FakeModel(doubled, seconds=9.0)})
    pipeline = mesh.pipeline(graph([ensemble(["one", "two"], quorum=1, wait="50ms")], {"y": "e.y"}))
    [answer] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert answer.notes == {"e.answered": "one", "e.late": "two"}


async def test_nobody_waits_longer_once_a_quorum_is_lost() -> None:
    mesh = FakeMesh({"slow": FakeModel(doubled, seconds=9.0), "dead": fails(), "gone": fails()})
    pipeline = mesh.pipeline(graph([ensemble(["slow", "dead", "gone"], quorum=2)], {"y": "e.y"}))
    began = mesh.clock.now()
    [error] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert error.code is StatusCode.UNAVAILABLE
    assert "no quorum of 2 of 3 members: answered nobody; cancelled slow; failed dead (" in str(error)
    assert mesh.clock.now() - began < 0.2


async def test_a_wrong_request_is_the_callers_fault_also_in_an_ensemble() -> None:
    mesh = FakeMesh({"one": fails(StatusCode.INVALID_ARGUMENT), "two": fails(StatusCode.INVALID_ARGUMENT)})
    pipeline = mesh.pipeline(graph([ensemble(["one", "two"], quorum=2)], {"y": "e.y"}))
    [error] = await mesh.run(mesh.ask(pipeline, x=ONE))
    assert error.code is StatusCode.INVALID_ARGUMENT


async def test_nothing_runs_under_an_arm_that_is_not_taken() -> None:
    mesh = FakeMesh({name: FakeModel(doubled) for name in ("before", "big", "small")})
    arms = [
        {"name": "big", "when": "metadata['tier'] == 'gold'", "step": {"model": "big", "inputs": {"x": "b.y"}}},
        {"name": "small", "step": {"model": "small", "inputs": {"x": "input.x"}}},
    ]
    spec = graph([step("b", "before", x="input.x"), route(arms, rules={}, default="small")], {"y": "r.y"})
    pipeline = mesh.pipeline(spec)
    gold, tin = await mesh.run(mesh.ask(pipeline, x=ONE, metadata=(("tier", "gold"),)), mesh.ask(pipeline, x=ONE))
    assert (gold.notes, tin.notes) == ({"r.arm": "big"}, {"r.arm": "small"})
    assert gold.outputs["y"].tolist() == [[4.0, 8.0]]
    assert sorted(sent.model for sent in mesh.sent) == ["before", "big", "small"]


async def test_requests_of_one_arm_are_joined() -> None:
    mesh = FakeMesh({"big": FakeModel(doubled, seconds=0.1), "small": FakeModel(doubled, seconds=0.1)})
    arms = [
        {"name": "big", "when": "metadata['tier'] == 'gold'", "step": {"model": "big", "inputs": {"x": "input.x"}}},
        {"name": "small", "step": {"model": "small", "inputs": {"x": "input.x"}}},
    ]
    pipeline = mesh.pipeline(graph([route(arms, rules={}, default="small")], {"y": "r.y"}))
    await mesh.run(*(mesh.ask(pipeline, x=ONE, metadata=(("tier", tier),)) for tier in ["gold", "tin"] * 3))
    assert sorted((sent.model, sent.rows) for sent in mesh.sent) == [("big", 3), ("small", 3)]


def shares(*arms: tuple[str, float], mirror: str = "") -> dict[str, Any]:
    listed = [{"name": n, "share": s, "step": {"model": n, "inputs": {"x": "input.x"}}} for n, s in arms]
    if mirror:
        listed.append(
            {"name": "copy", "share": 1.0, "mirror": True, "step": {"model": mirror, "inputs": {"x": "input.x"}}}
        )
    return graph([route(listed, split={"unit": "user"})], {"y": "r.y"})


async def test_a_unit_stays_in_its_arm_and_the_shares_are_kept() -> None:
    mesh = FakeMesh({"a": FakeModel(doubled), "b": FakeModel(doubled)})
    pipeline = mesh.pipeline(shares(("a", 80), ("b", 20)))
    users = [(("user", f"u{number}"),) for number in range(300)]
    first = await mesh.run(*(mesh.ask(pipeline, x=ONE, metadata=user) for user in users))
    second = await mesh.run(*(mesh.ask(pipeline, x=ONE, metadata=user) for user in users))
    arms = [answer.notes["r.arm"] for answer in first]
    assert arms == [answer.notes["r.arm"] for answer in second]
    assert 0.1 < arms.count("b") / 300 < 0.3


@pytest.mark.parametrize("most", [0, 8])
async def test_a_mirror_neither_delays_nor_harms_the_answer(most: int) -> None:
    mesh = FakeMesh({"a": FakeModel(doubled, most=most), "m": FakeModel(doubled, seconds=3.0, most=most)})
    mirroring = Mirroring()
    pipeline = mesh.pipeline(shares(("a", 1), mirror="m"), mirroring=mirroring)
    answer = await mesh.ask(pipeline, x=ONE)  # no clock is moved
    assert answer.outputs["y"].tolist() == [[2.0, 4.0]]
    await mesh.clock.advance(4.0)
    assert [(sent.model, sent.outcome) for sent in mesh.sent] == [("a", "done"), ("m", "done")]
    assert ("x-inferloom-mirror", "1") in mesh.sent[1].metadata
    await mirroring.close()
    assert not mirroring.tasks


async def mirrored(mesh: FakeMesh, mirroring: Mirroring, x: Any) -> MirrorFigures:
    """What the mirror `m` of `a` has been counted as, once it has answered and was compared."""
    pipeline = mesh.pipeline(shares(("a", 1), mirror="m"), mirroring=mirroring)
    answer = await mesh.ask(pipeline, x=x)
    assert answer.outputs["y"].shape == np.shape(x)
    copies = tuple(mirroring.tasks)
    await mesh.clock.advance(1.0)
    await asyncio.gather(*copies)  # comparing is done in a thread
    split = mesh.splits["r"]
    return split.figures.of(split.split.mirrors[0]).mirror


async def test_a_mirror_s_answer_is_compared() -> None:
    mesh = FakeMesh({"a": FakeModel(doubled), "m": FakeModel(doubled, seconds=0.1)})
    told = await mirrored(mesh, Mirroring(), ONE)
    assert (told.agreed, told.skipped) == (1, {})


async def test_answers_of_more_than_a_mib_are_not_compared() -> None:
    models = {name: FakeModel(doubled, most=0, seconds=0.1 * (name == "m")) for name in "am"}
    told = await mirrored(FakeMesh(models), Mirroring(), np.ones((LARGEST // 8 + 1, 2), np.float32))
    assert (told.agreed, told.skipped) == (0, {"large": 1})


async def test_what_has_effects_is_never_mirrored() -> None:
    mesh = FakeMesh({"a": FakeModel(doubled), "m": FakeModel(doubled, repeat=Repeat.ANY)})
    mirroring = Mirroring()
    pipeline = mesh.pipeline(shares(("a", 1), mirror="m"), mirroring=mirroring)
    mesh.groups["m"].model = type(mesh.groups["m"].model)("m", mesh.groups["a"].model.replicas)
    for group in (mesh.groups["m"],):
        replica = group.model.replicas[0]
        group.model = type(group.model)("m", (type(replica)("m", "a", "h", 1, repeat=Repeat.NEVER),))
    await mesh.ask(pipeline, x=ONE)
    await mesh.clock.advance(1.0)
    assert [sent.model for sent in mesh.sent] == ["a"]


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        ({}, "no input 'x'; pipeline 'p' takes x FP32 \\[-1,2\\]"),
        ({"x": ONE, "z": ONE}, "no input is called 'z'; pipeline 'p' takes"),
        ({"x": [[1.0, 2.0, 3.0]]}, "input 'x' is FP32 \\[1,3\\]; pipeline 'p' takes"),
        ({"x": np.array([[b"a", b"b"]], object)}, "input 'x' is BYTES \\[1,2\\]; pipeline 'p' takes"),
    ],
)
async def test_a_wrong_input_is_named(inputs: dict[str, Any], why: str) -> None:
    mesh = FakeMesh({"one": FakeModel(doubled)})
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x")], {"y": "a.y"}))
    with pytest.raises(InvalidInput, match=why):
        await mesh.ask(pipeline, **inputs)
    assert not mesh.sent


async def test_the_same_in_json() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled)})
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x")], {"y": "a.y"}))
    assert await pipeline.call_json(b'{"x": [[1, 2]]}', mesh.context()) == b'{"y":[[2.0,4.0]]}'
    with pytest.raises(InvalidInput, match="x: is missing"):
        await pipeline.call_json(b"{}", mesh.context())


async def test_a_deadline_that_passes_while_it_waits_for_a_batch_names_the_pipeline() -> None:
    mesh = FakeMesh({"one": FakeModel(doubled, seconds=5.0)})
    pipeline = mesh.pipeline(graph([step("a", "one", x="input.x")], {"y": "a.y"}))
    first, second = await mesh.run(mesh.ask(pipeline, 20.0, x=ONE), mesh.ask(pipeline, 1.0, x=ONE))
    assert first.outputs["y"].tolist() == [[2.0, 4.0]]
    assert isinstance(second, DeadlineExceeded)
    assert str(second).startswith("pipeline 'p'")
