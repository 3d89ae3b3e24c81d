"""The layer that has the story of each request told."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.errors import Exhausted, InferloomError, ReplicaError, status_of
from inferloom.mesh.explain.explainer import MOST_A_SECOND, Explainer
from inferloom.mesh.explain.story import Story, current_story
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.policy import Locality, TrafficPolicy
from inferloom.mesh.router.explaining import Explaining
from inferloom.mesh.router.passed_over import passed_over
from inferloom.mesh.router.stack import assemble
from inferloom.mesh.telemetry.tracing import Tracing
from tests.unit.mesh.fakes import FakeMesh, Sent, after, call, fails, replica

ASKED = (("x-inferloom-explain", "1"),)
GONE = ReplicaError(StatusCode.UNAVAILABLE, "gone")


class Explained(FakeMesh):
    """Two replicas, `a` and `b`, behind the whole stack."""

    def __init__(self, answers: dict[str, Any] | None = None, *, objective: float | None = None) -> None:
        super().__init__((replica("a"), replica("b")), answers)
        rng = random.Random(7)
        self.explainer = Explainer(self.clock, rng, "router", lambda model: objective)
        explaining = Explaining(self.explainer, self.pool)
        args = (self.pool, self.admission, self.clock, rng, self.metrics, Tracing())
        self.handle = assemble(*args, explaining=explaining)

    async def send(self, **changes: Any) -> Reply:
        return await self.run(self.handle(call(self.clock, **changes)))

    @property
    def kept(self) -> list[dict[str, Any]]:
        return self.explainer.recent.list()


def told(reply: Reply) -> Any:
    ((_, text),) = [pair for pair in reply.trailing if pair[0] == "x-inferloom-explain"]
    return json.loads(text)


async def test_a_request_that_asks_for_nothing_and_is_well_is_told_and_kept_nowhere() -> None:
    mesh = Explained()
    assert (await mesh.send()).trailing == ()
    assert mesh.kept == []
    assert mesh.explainer.paces["iris"].count == 1


async def test_a_request_that_asks_is_told_of_every_attempt_and_of_the_time_between() -> None:
    mesh = Explained()
    mesh.channel("a").answer = after(mesh.clock, 0.2, GONE)
    mesh.channel("b").answer = after(mesh.clock, 0.3)
    while len((story := told(await mesh.send(metadata=ASKED)))["attempts"]) < 2:
        continue
    first, second = story["attempts"]
    assert (first["replica"], first["code"], first["why"], first["ms"]) == ("a", "UNAVAILABLE", "gone", 200)
    assert (second["replica"], second["code"], second["ms"]) == ("b", "OK", 300)
    assert story["layers"] == {"admission": 0, "split": 0, "retry": second["after_ms"] - 200, "attempt": 500}
    assert story["ms"] == pytest.approx(second["after_ms"] + 300)


async def test_an_error_stays_as_it_was_and_has_the_id_of_the_request_beside_it() -> None:
    mesh = Explained({key: fails(ReplicaError(StatusCode.INTERNAL, "broken", (("t", "1"),))) for key in "ab"})
    with pytest.raises(ReplicaError) as raised:
        await mesh.send()
    status = status_of(raised.value)
    (kept,) = mesh.kept
    assert (status.code, status.message) == (StatusCode.INTERNAL, "broken")
    assert status.trailing == (("t", "1"), ("x-inferloom-request-id", kept["request_id"]))
    assert (kept["kind"], kept["message"], kept["attempts"][0]["why"]) == ("failed", "broken", "broken")


@pytest.mark.parametrize(
    ("metadata", "own", "trailing", "expected"),
    [
        ((("x-request-id", "theirs"),), "message", "hosts", "theirs"),
        ((), "message", "hosts", "message"),
        ((), "", "hosts", "hosts"),
    ],
    ids=["the caller's metadata", "the message", "what a host has given it"],
)
async def test_a_request_keeps_the_id_it_has(
    metadata: tuple[tuple[str, str], ...], own: str, trailing: str, expected: str
) -> None:
    error = ReplicaError(StatusCode.INTERNAL, "broken", (("x-inferloom-request-id", trailing),))
    mesh = Explained({key: fails(error) for key in "ab"})
    payload = bytes(pb.ModelInferRequest(model_name="iris", id=own).SerializeToString())
    with pytest.raises(ReplicaError):
        await mesh.send(metadata=metadata, payload=payload, method=MODEL_INFER.path)
    assert mesh.kept[0]["request_id"] == expected


async def test_of_a_flood_of_failures_only_so_many_a_second_are_kept_but_all_that_ask() -> None:
    mesh = Explained()
    mesh.admission.most = 0  # everything is turned away
    for _ in range(2 * MOST_A_SECOND):
        with pytest.raises(Exhausted) as raised:
            await mesh.handle(call(mesh.clock))
    assert raised.value.told == ()
    with pytest.raises(Exhausted) as asked:
        await mesh.handle(call(mesh.clock, metadata=ASKED))
    assert [key for key, _ in asked.value.told] == ["x-inferloom-request-id", "x-inferloom-explain"]
    assert len(mesh.kept) == MOST_A_SECOND + 1
    await mesh.clock.advance(1.0)
    with pytest.raises(Exhausted) as later:
        await mesh.handle(call(mesh.clock))
    assert later.value.told != ()


async def test_a_caller_who_goes_away_is_remembered() -> None:
    mesh = Explained()
    for key in "ab":
        mesh.channel(key).answer = after(mesh.clock, 100.0)
    task = asyncio.create_task(mesh.handle(call(mesh.clock, 500.0)))
    for _ in range(5):
        await asyncio.sleep(0)
    await mesh.clock.advance(3.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (kept,) = mesh.kept
    assert (kept["code"], kept["ms"], kept["attempts"][0]["code"]) == ("CANCELLED", 3000, "CANCELLED")


async def test_an_answer_that_misses_the_objective_is_kept_and_the_caller_is_told_nothing() -> None:
    mesh = Explained(objective=0.1)
    for key in "ab":
        mesh.channel(key).answer = after(mesh.clock, 0.2)
    assert (await mesh.send()).trailing == ()
    assert [(each["kind"], each["slow_over_ms"]) for each in mesh.kept] == [("slow", 100)]


async def test_what_a_host_told_is_inside_and_not_beside_the_routers_own() -> None:
    async def host(sent: Sent) -> Reply:
        return Reply(b"", trailing=(("x-inferloom-explain", '{"model":"inner"}'), ("x", "y")))

    mesh = Explained({"a": host, "b": host})
    reply = await mesh.send(metadata=ASKED)
    assert told(reply)["inside"] == {"model": "inner"}
    assert [key for key, _ in reply.trailing] == ["x", "x-inferloom-explain"]


async def test_a_call_inside_of_a_request_belongs_to_the_story_of_that_one() -> None:
    mesh = Explained()
    story = Story(mesh.clock.now(), hosted=True)
    token = current_story.set(story)
    try:
        await mesh.send(metadata=ASKED)
        assert [attempt[2] for attempt in story.attempts] == ["iris"]
        assert mesh.kept == []
        story.over = True
        await mesh.send(metadata=ASKED)
    finally:
        current_story.reset(token)
    assert len(story.attempts) == 1, "what a request has left running has stories of its own"
    assert len(mesh.kept) == 1


async def test_names_that_nobody_serves_have_one_pace_together() -> None:
    mesh = Explained()
    for name in ("ghost", "spectre"):
        with pytest.raises(InferloomError):
            await mesh.send(model=name)
    assert mesh.explainer.paces.keys() == {"(unknown)"}
    assert [each["model"] for each in mesh.kept] == ["spectre", "ghost"]


def test_replicas_are_passed_over_for_their_breaker_their_version_and_their_zone() -> None:
    records = (
        replica("a", locality="eu/a", versions=("2",)),
        replica("b", locality="eu/b", versions=("2",)),
        replica("c", locality="eu/a", versions=("1",)),
        replica("d", locality="eu/a", versions=("2",)),
        replica("e", locality="eu/a", versions=("2",)),
    )
    mesh = FakeMesh(records, policy=TrafficPolicy(locality=Locality.PREFER), zone="eu/a")
    mesh.endpoint("d").health.refuse("no connection to it")
    found = passed_over(mesh.group, "2", mesh.clock.now(), "eu/a", tried={"e"})
    assert found == (
        ("b", "in zone eu/b; eu/a is nearer"),
        ("c", "serves version 1, not 2"),
        ("d", "open (no connection to it)"),
    )
