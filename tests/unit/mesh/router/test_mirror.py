"""Mirror arms: copies that neither delay nor harm what they copy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.catalog import Repeat, State
from inferloom.mesh.errors import Forbidden, ReplicaError
from inferloom.mesh.oip import pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.mirror import LARGEST, MARK, MOST
from tests.unit.mesh.fakes import REQUEST, Sent, call, ok, replica
from tests.unit.mesh.router.split_fakes import MIRRORED, SplitMesh, version_of

BOTH = ("1", "2")
BROKEN = ReplicaError(StatusCode.INTERNAL, "broken")


def answer(*values: float) -> Reply:
    array = np.array(values, np.float32)
    response = pb.ModelInferResponse(raw_output_contents=[array.tobytes()])
    response.outputs.add(name="y", datatype="FP32", shape=array.shape)
    return Reply(bytes(response.SerializeToString()))


def by_version(mesh: SplitMesh, **replies: Any) -> Callable[[Sent], Any]:
    """`v1=(seconds, reply)`: what each version answers, and when."""

    async def reply(sent: Sent) -> Reply:
        seconds, outcome = replies["v" + version_of(sent)]
        await mesh.clock.sleep(seconds)
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Reply)
        return outcome

    return reply


def mirrored(real: Any, copy: Any, *, after: tuple[float, float] = (0.0, 0.0), **more: Any) -> SplitMesh:
    mesh = SplitMesh(**{"spec": MIRRORED, **more})
    mesh.channel("a").answer = by_version(mesh, v1=(after[0], real), v2=(after[1], copy))
    return mesh


async def test_the_caller_gets_the_real_answer_and_the_copy_is_compared() -> None:
    mesh = mirrored(answer(0.1, 0.9), answer(0.3, 0.7))
    assert await mesh.ask() == answer(0.1, 0.9)
    await mesh.mirrors_done()
    told = mesh.figures("2").mirror
    assert (told.agreed, told.differed, told.failed, told.skipped) == (1, 0, 0, {})
    assert told.difference.most == pytest.approx(0.2)
    assert mesh.figures("2").codes == {"OK": 1}
    assert mesh.at_rest()


async def test_the_real_request_is_sent_first_and_a_slow_copy_does_not_delay_it() -> None:
    mesh = mirrored(answer(1.0), answer(1.0), after=(0.1, 5.0))
    began = mesh.clock.now()
    await mesh.ask(seconds=30.0)
    assert mesh.clock.now() - began < 0.3
    assert mesh.versions() == ["1", "2"]
    await mesh.mirrors_done()
    assert mesh.figures("2").latency.quantile(0.5) == pytest.approx(5.0, rel=0.3)
    assert mesh.figures("2").mirror.primary.most == pytest.approx(0.1, abs=0.06)


async def test_a_disagreement_keeps_the_request_id_and_nothing_else() -> None:
    mesh = mirrored(answer(0.1, 0.9), answer(0.9, 0.1))
    await mesh.ask(payload=bytes(pb.ModelInferRequest(model_name="iris", id="r7").SerializeToString()))
    await mesh.mirrors_done()
    assert mesh.figures("2").mirror.differed == 1
    assert list(mesh.figures("2").mirror.examples) == ["r7"]


async def test_a_failing_mirror_reaches_neither_the_caller_nor_the_replica_s_health_or_budget() -> None:
    mesh = mirrored(answer(1.0), BROKEN)
    budget = mesh.group.budget.tokens
    for _ in range(50):
        assert await mesh.ask() == answer(1.0)
        await mesh.mirrors_done()
    assert mesh.figures("2").codes == {"INTERNAL": 50}
    assert mesh.figures("2").mirror.failed == 50
    assert mesh.endpoint("a").health.state is BreakerState.CLOSED
    assert mesh.endpoint("a").load.failures == 0
    assert mesh.group.budget.tokens >= budget
    assert len(mesh.channel("a").sent) == 100  # a copy is tried once


async def test_a_real_failure_where_the_mirror_answers_is_counted_as_failed_and_two_as_neither() -> None:
    refused = ReplicaError(StatusCode.INVALID_ARGUMENT, "wrong shape")
    for copy, failed, skipped in ((answer(1.0), 1, {}), (refused, 0, {"both-failed": 1})):
        mesh = mirrored(refused, copy)
        with pytest.raises(ReplicaError):
            await mesh.ask()
        await mesh.mirrors_done()
        told = mesh.figures("2").mirror
        assert (told.failed, told.skipped) == (failed, skipped)


async def test_the_sample_says_how_many_are_copied() -> None:
    mesh = mirrored(
        answer(1.0),
        answer(1.0),
        spec={"arms": [{"name": "1", "share": 1}, {"name": "2", "mirror": True, "sample": 0.25}]},
    )
    for _ in range(200):
        await mesh.handle(call(mesh.clock))
        await mesh.mirrors_done()
    assert 30 <= mesh.versions().count("2") <= 70


async def test_a_copy_is_marked_and_the_exposure_says_that_there_was_one() -> None:
    mesh = mirrored(answer(1.0), answer(1.0))
    mesh.exposures.add(mesh)
    await mesh.ask(metadata=(("user", "ann"),))
    await mesh.mirrors_done()
    real, copy = mesh.channel("a").sent
    assert MARK not in real.metadata
    assert copy.metadata == (("user", "ann"), MARK)
    assert mesh.recorded[0].mirrored == ("2",)


async def test_a_copy_that_comes_from_further_out_is_neither_copied_again_nor_counted() -> None:
    mesh = mirrored(answer(1.0), answer(1.0))
    mesh.exposures.add(mesh)
    await mesh.ask(metadata=(MARK,))
    assert mesh.versions() == ["1"]
    assert mesh.figures("1").codes == {}
    assert mesh.recorded == []


@pytest.mark.parametrize(
    ("reason", "changes", "fields"),
    [
        ("sequence", {"affinity": b"7"}, {}),
        ("effects", {}, {"repeat": Repeat.NEVER}),
        ("unserved", {}, {"versions": ("1",)}),
    ],
)
async def test_what_is_not_copied_is_counted_by_reason(
    reason: str, changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    mesh = SplitMesh(MIRRORED, (replica("a", **{"versions": BOTH, **fields}),))
    await mesh.ask(**changes)
    assert mesh.versions() == ["1"]
    assert mesh.figures("2").mirror.skipped == {reason: 1}


async def test_a_copy_never_goes_to_a_replica_that_waits_to_be_probed() -> None:
    mesh = SplitMesh(MIRRORED, (replica("a"), replica("b", versions=("2",))))
    mesh.endpoint("b").health.refuse("no connection")
    await mesh.ask()
    assert mesh.figures("2").mirror.skipped == {"unserved": 1}
    mesh.apply(replica("a"), replica("b", versions=("2",), state=State.DRAINING))
    await mesh.ask()
    assert mesh.figures("2").mirror.skipped == {"unserved": 2}


async def test_no_more_copies_are_under_way_than_are_allowed() -> None:
    mesh = mirrored(answer(1.0), answer(1.0), after=(0.0, 20.0))
    for _ in range(MOST + 5):
        await mesh.ask(seconds=30.0)
    assert mesh.figures("2").mirror.skipped == {"busy": 5}
    await mesh.mirrors_done()
    assert mesh.at_rest()


async def test_copies_leave_half_of_the_room_to_real_requests() -> None:
    payload = REQUEST + bytes(pb.ModelInferRequest(raw_input_contents=[b"x" * 600]).SerializeToString())
    mesh = mirrored(answer(1.0), answer(1.0), most=1500)
    await mesh.ask(payload=payload)
    assert mesh.figures("2").mirror.skipped == {"busy": 1}


async def test_large_answers_are_not_compared() -> None:
    mesh = mirrored(answer(*[0.0] * (LARGEST // 4 + 1)), answer(1.0))
    await mesh.ask()
    await mesh.mirrors_done()
    assert mesh.figures("2").mirror.skipped == {"large": 1}


async def test_answers_that_are_no_messages_are_not_compared() -> None:
    mesh = SplitMesh(MIRRORED)
    mesh.channel("a").answer = ok  # b"ok" is none
    await mesh.ask()
    await mesh.mirrors_done()
    assert mesh.figures("2").mirror.skipped == {"unreadable": 1}


async def test_a_caller_that_goes_away_takes_the_copy_with_it() -> None:
    mesh = mirrored(answer(1.0), answer(1.0), after=(5.0, 9.0))
    task = asyncio.ensure_future(mesh.handle(call(mesh.clock, 30.0)))
    await mesh.clock.advance(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await mesh.clock.advance(0.1)
    assert mesh.at_rest()
    assert mesh.figures("2").mirror.skipped == {}


async def test_closing_ends_the_copies() -> None:
    mesh = mirrored(answer(1.0), answer(1.0), after=(0.0, 20.0))
    await mesh.ask(seconds=30.0)
    await mesh.splitting.close()
    assert mesh.at_rest()


async def test_what_has_effects_refuses_a_copy_that_reaches_it_from_within() -> None:
    never = replica("a", repeat=Repeat.NEVER)
    mesh = SplitMesh(None, (never,))
    mesh.pool.groups["iris"].policy = TrafficPolicy.of(mesh.pool.groups["iris"].model)
    with pytest.raises(Forbidden, match="'iris' has effects, and this request is a mirror's copy"):
        await mesh.ask(metadata=(MARK,))
    assert mesh.sent("a") == 0
    await mesh.ask()
    assert mesh.sent("a") == 1
