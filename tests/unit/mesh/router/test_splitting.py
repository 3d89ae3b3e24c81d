"""The split layer: which version a request without one gets, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import State
from inferloom.mesh.errors import ModelNotFound, NoReplica, RegistryUnavailable, ReplicaError
from inferloom.mesh.oip import CALL, METHODS, SERVICE, pb
from inferloom.mesh.registry.base import Document, DocumentKey
from inferloom.mesh.registry.memory import MemoryDocuments
from inferloom.mesh.router.transport import Lost
from inferloom.mesh.split import KIND, Split
from inferloom.v1 import typed_pb2
from tests.unit.mesh.fakes import Sent, fails, ok, replica
from tests.unit.mesh.router.split_fakes import HALVES, SplitMesh, version_of

BOTH = ("1", "2")


async def test_a_unit_always_gets_the_version_of_its_arm() -> None:
    mesh = SplitMesh()
    split = Split.from_json("iris", HALVES)
    for user in ("ann", "bob", "cid", "dan", "eve") * 3:
        await mesh.user(user)
        assert mesh.versions()[-1] == split.arm(user).name
    assert set(mesh.versions()) == {"1", "2"}


async def test_without_a_unit_each_request_is_drawn_for_itself_by_the_shares() -> None:
    mesh = SplitMesh({"arms": [{"name": "1", "share": 90}, {"name": "2", "share": 10}]})
    for _ in range(300):
        await mesh.handle(request(mesh))
    assert 15 <= mesh.versions().count("2") <= 50


async def test_a_request_that_names_a_version_is_left_alone() -> None:
    mesh = SplitMesh({"arms": [{"name": "2", "share": 1}]})
    await mesh.ask(version="1", payload=pb.ModelInferRequest(model_name="iris", model_version="1").SerializeToString())
    assert mesh.versions() == ["1"]
    assert mesh.figures("2").codes == {}


async def test_questions_about_a_model_are_not_split() -> None:
    mesh = SplitMesh({"arms": [{"name": "2", "share": 1}]})
    path = f"/{SERVICE}/ModelConfig"
    await mesh.ask(method=path, payload=pb.ModelConfigRequest(name="iris").SerializeToString())
    sent = mesh.channel("a").sent[0]
    assert pb.ModelConfigRequest.FromString(sent.payload).version == "1"


async def test_calls_by_json_are_split_too() -> None:
    mesh = SplitMesh({"arms": [{"name": "2", "share": 1}]})
    assert CALL.path in METHODS
    await mesh.ask(method=CALL.path, payload=typed_pb2.TypedRequest(model_name="iris", json=b"{}").SerializeToString())
    assert typed_pb2.TypedRequest.FromString(mesh.channel("a").sent[0].payload).model_version == "2"


async def test_an_arm_may_be_another_model() -> None:
    other = replica("b", model="iris-b", versions=("7",))
    mesh = SplitMesh({"arms": [{"name": "b", "model": "iris-b", "share": 1}]}, (replica("a"), other))
    await mesh.ask()
    sent = mesh.pool.groups["iris-b"].endpoints["b"].channel.sent  # type: ignore[attr-defined]
    message = pb.ModelInferRequest.FromString(sent[0].payload)
    assert (message.model_name, message.model_version) == ("iris-b", "7")


async def test_a_sequence_without_a_unit_stays_in_one_arm() -> None:
    mesh = SplitMesh()
    for _ in range(10):
        await mesh.ask(affinity=b"sequence 7")
    assert len(set(mesh.versions())) == 1


async def test_a_model_without_a_split_passes_untouched() -> None:
    mesh = SplitMesh(None)
    await mesh.ask()
    assert mesh.versions() == ["1"]


async def test_where_nobody_serves_the_arm_the_biggest_other_one_stands_in() -> None:
    arms = [{"name": "1", "share": 30}, {"name": "2", "share": 60}, {"name": "9", "share": 10}]
    mesh = SplitMesh({"arms": arms, "by": "user", "overrides": {"tester": "9"}})
    await mesh.user("tester")
    assert mesh.versions() == ["2"]
    assert (mesh.figures("2").stood_in, mesh.figures("2").overridden) == (1, 1)
    assert mesh.figures("9").codes == {}


async def test_an_arm_whose_replicas_drain_or_are_unreachable_is_not_served() -> None:
    mesh = SplitMesh(
        {"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 99}]},
        (replica("a"), replica("b", versions=("2",))),
    )
    mesh.endpoint("b").health.refuse("no connection")
    await mesh.ask()
    mesh.apply(replica("a"), replica("b", versions=("2",), state=State.DRAINING))
    await mesh.ask()
    assert mesh.versions("a") == ["1", "1"]


async def test_a_request_that_surely_reached_nobody_goes_to_another_arm() -> None:
    mesh = SplitMesh(
        {"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 99}]},
        (replica("a"), replica("b", versions=("2",))),
        {"b": fails(Lost("failed to connect", sent=False))},
    )
    await mesh.ask()
    assert mesh.versions("a") == ["1"]
    assert mesh.figures("1").stood_in == 1


async def test_a_request_that_may_have_begun_never_goes_to_another_arm() -> None:
    mesh = SplitMesh(
        {"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 99}]},
        (replica("a"), replica("b", versions=("2",))),
        {"b": fails(Lost("connection reset", sent=True))},
    )
    with pytest.raises(Lost):
        await mesh.ask()
    assert mesh.versions("a") == []
    assert mesh.figures("2").codes == {"UNAVAILABLE": 1}


async def test_where_no_arm_is_served_the_error_says_what_is() -> None:
    mesh = SplitMesh({"arms": [{"name": "8", "share": 1}, {"name": "9", "share": 1}]})
    with pytest.raises(NoReplica, match=r"split 'iris': none of its arms \(8, 9\) can be asked; versions served: 1, 2"):
        await mesh.ask()


async def test_a_split_of_a_model_that_is_gone_is_not_found() -> None:
    mesh = SplitMesh()
    mesh.apply()
    with pytest.raises(ModelNotFound):
        await mesh.ask()


async def test_figures_count_requests_errors_and_latency() -> None:
    mesh = SplitMesh({"arms": [{"name": "1", "share": 1}]})
    mesh.channel("a").answer = slow_then_broken(mesh)
    await mesh.ask()
    with pytest.raises(ReplicaError):
        await mesh.ask()
    figures = mesh.figures("1")
    assert figures.codes == {"OK": 1, "INVALID_ARGUMENT": 1}
    assert figures.latency.quantile(0.5) == pytest.approx(0.2, rel=0.25)


async def test_a_caller_that_goes_away_is_counted_as_cancelled() -> None:
    mesh = SplitMesh({"arms": [{"name": "1", "share": 1}]})

    async def never(sent: Sent) -> Any:
        await asyncio.Event().wait()

    mesh.channel("a").answer = never
    task = asyncio.ensure_future(mesh.handle(request(mesh)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert mesh.figures("1").codes == {"CANCELLED": 1}
    assert mesh.at_rest()


async def test_each_exposure_names_the_arm_its_propensity_and_no_unit() -> None:
    mesh = SplitMesh({**HALVES, "overrides": {"tester": "2"}})
    mesh.exposures.add(mesh)
    payload = bytes(pb.ModelInferRequest(model_name="iris", id="r1").SerializeToString())
    await mesh.user("ann", payload=payload)
    await mesh.user("tester")
    await mesh.ask(metadata=(("x-request-id", "r3"),))
    one, tester, drawn = mesh.recorded
    split = Split.from_json("iris", HALVES)
    assert one.unit == f"{split.assign('ann', 0.0).point:016x}"
    assert (one.split, one.arm, one.served, one.propensity) == ("iris", split.arm("ann").name, one.arm, 0.5)
    assert (one.request_id, one.code, one.override, one.mirrored) == ("r1", "OK", False, ())
    assert one.time == mesh.clock.wall()
    assert (tester.arm, tester.propensity, tester.override) == ("2", 1.0, True)
    assert (drawn.unit, drawn.request_id) == ("", "r3")
    assert "ann" not in str(mesh.recorded)


async def test_a_bad_document_keeps_the_last_good_one_and_is_told() -> None:
    mesh = SplitMesh({"arms": [{"name": "2", "share": 1}]})
    mesh.write({"arms": []}, version=2)
    await mesh.ask()
    assert mesh.versions() == ["2"]
    assert mesh.splitting.problems == {"iris": "version 2: split 'iris': it has 0 arms; 1 to 64"}
    mesh.write(HALVES, version=3)
    assert mesh.splitting.problems == {}


async def test_a_removed_document_sends_requests_to_the_oldest_version_again() -> None:
    mesh = SplitMesh({"arms": [{"name": "2", "share": 1}]})
    await mesh.ask()
    mesh.write(None)
    await mesh.ask()
    assert mesh.versions() == ["2", "1"]


async def test_arms_that_stay_keep_their_figures_when_the_shares_change() -> None:
    mesh = SplitMesh({"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 0}]})
    await mesh.ask()
    mesh.write({"arms": [{"name": "1", "share": 1}, {"name": "2", "version": "1", "share": 5}]}, version=2)
    assert mesh.figures("1").codes == {"OK": 1}
    assert mesh.figures("2").codes == {}


class Broken:
    """Documents that fail, then answer."""

    def __init__(self) -> None:
        self.times = 0
        self.good = MemoryDocuments()

    def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        self.times += 1
        if self.times == 1:
            raise RegistryUnavailable("it does not answer")
        return self.good.watch(kind)


async def test_documents_that_fail_are_followed_again() -> None:
    mesh, documents = SplitMesh(None), Broken()
    await documents.good.put(KIND, "iris", HALVES)
    starting = asyncio.create_task(mesh.splitting.start(documents))  # type: ignore[arg-type]
    await mesh.clock.advance(1.1)
    await starting
    assert mesh.splitting.splits["iris"].version == 1
    await mesh.splitting.close()


def request(mesh: SplitMesh) -> Any:
    from tests.unit.mesh.fakes import call

    return call(mesh.clock)


def slow_then_broken(mesh: SplitMesh) -> Any:
    async def answer(sent: Sent) -> Any:
        if len(mesh.channel("a").sent) == 1:
            await mesh.clock.sleep(0.2)
            return await ok(sent)
        assert version_of(sent) == "1"
        raise ReplicaError(StatusCode.INVALID_ARGUMENT, "wrong shape")

    return answer
