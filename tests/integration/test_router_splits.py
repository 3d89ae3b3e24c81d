"""Splits over real Tritons: shares, stickiness, stand-ins, mirrors, figures and exposures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from inferloom.mesh.catalog import Kind, Replica
from inferloom.mesh.split import KIND, Split
from inferloom.mesh.splits.log import ExposureLog
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc
from tests.support.caller import Talk, echo_request, infer_request, read, stub
from tests.support.router import Mesh, Server, running_mesh

HALVES: dict[str, Any] = {
    "arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}],
    "by": "user",
    "overrides": {"tester": "2"},
}
RAISED = {"arms": [{"name": "1", "share": 20}, {"name": "2", "share": 80}]}
USERS = [f"user-{number}" for number in range(40)]


@asynccontextmanager
async def split_mesh(
    servers: tuple[Server, Server], spec: Mapping[str, Any], name: str = "versioned"
) -> AsyncIterator[tuple[Mesh, Any, Any]]:
    """A router over both Tritons with this split; it, a stub of the models and one of MeshService."""
    async with running_mesh({"one": servers[0], "two": servers[1]}) as mesh, stub(mesh.address) as face:
        await mesh.registry.documents.put(KIND, name, spec)
        while name not in mesh.router.splitting.splits:
            await asyncio.sleep(0.01)
        yield mesh, face, mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]


async def version(face: Any, user: str = "") -> int:
    """Which version of `versioned` answers: it multiplies by its number."""
    metadata = (("user", user),) if user else ()
    return int(read(await face.ModelInfer(echo_request([1.0], "versioned"), metadata=metadata, timeout=10))[0])


async def figures(service: Any, name: str = "versioned") -> dict[str, pb.ArmFigures]:
    answer = await service.SplitFigures(pb.SplitFiguresRequest(name=name), timeout=5)
    return {arm.arm: arm for arm in answer.arms}


async def compared(service: Any, arm: str, pairs: int, name: str = "versioned") -> pb.MirrorFigures:
    """The mirror's figures, once so many pairs are in them."""
    end = time.monotonic() + 10
    while True:
        told = (await figures(service, name))[arm].compared
        if told.agreed + told.differed + told.failed >= pairs:
            return told
        assert time.monotonic() < end, told
        await asyncio.sleep(0.02)


async def test_users_keep_their_version_and_both_versions_answer(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES) as (_, face, service):
        split = Split.from_json("versioned", HALVES)
        first = {user: await version(face, user) for user in USERS}
        assert first == {user: int(split.arm(user).name) for user in USERS}
        assert set(first.values()) == {1, 2}
        assert {user: await version(face, user) for user in USERS} == first
        told = await figures(service)
        assert {arm: told[arm].codes["OK"] for arm in told} == {
            arm: 2 * list(first.values()).count(int(arm)) for arm in ("1", "2")
        }
        assert all(0 < told[arm].latency.p50 <= told[arm].latency.p99 < 10 for arm in told)


async def test_raising_a_share_moves_nobody_back(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES) as (mesh, face, _):
        before = {user: await version(face, user) for user in USERS}
        split = Split.from_json("versioned", HALVES)
        raised = Split.of("versioned", [*Split.from_json("versioned", RAISED).arms], by="user", previous=split)
        await mesh.registry.documents.put(KIND, "versioned", raised.to_json())
        while mesh.router.splitting.splits["versioned"].version < 2:
            await asyncio.sleep(0.01)
        after = {user: await version(face, user) for user in USERS}
        assert all(after[user] == 2 for user in USERS if before[user] == 2)
        assert list(after.values()).count(2) > list(before.values()).count(2)


async def test_a_tester_gets_the_version_that_is_set(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES | {"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 0}]}) as told:
        _, face, service = told
        assert [await version(face, user) for user in ("tester", "user-1", "")] == [2, 1, 1]
        assert (await figures(service))["2"].overridden == 1


async def test_a_named_version_is_never_split(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, {"arms": [{"name": "2", "share": 1}]}) as (_, face, _service):
        request = echo_request([1.0], "versioned")
        assert read(await face.ModelInfer(request, timeout=10)) == [2.0]
        request.model_version = "1"
        assert read(await face.ModelInfer(request, timeout=10)) == [1.0]


async def test_when_the_version_of_an_arm_is_gone_another_answers(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, {"arms": [{"name": "1", "share": 1}, {"name": "2", "share": 99}]}) as told:
        mesh, face, service = told
        for name in ("one", "two"):
            await only(mesh, name, "1")
        assert [await version(face) for _ in range(10)] == [1] * 10
        arms = await figures(service)
        assert arms["1"].stood_in >= 8
        assert (arms["1"].served, arms["2"].served) == (True, False)


async def test_a_stream_keeps_one_arm(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES) as (_, face, service):
        for user in ("", "tester"):
            async with Talk(_WithUser(face, user)) as talk:
                answers = []
                for number in range(6):
                    await talk.say(echo_request([1.0], "versioned", request_id=str(number)))
                    answers.append(read((await talk.hear()).infer_response))
            assert len({tuple(answer) for answer in answers}) == 1
        assert answers[0] == [2.0]
        told = await figures(service)
        assert told["1"].codes["OK"] + told["2"].codes["OK"] == 12


class _WithUser:
    """A stub whose streams carry the user."""

    def __init__(self, face: Any, user: str) -> None:
        self._face, self._metadata = face, (("user", user),) if user else ()

    def ModelStreamInfer(self, timeout: float | None) -> Any:  # noqa: N802
        return self._face.ModelStreamInfer(timeout=timeout, metadata=self._metadata)


async def test_a_mirror_s_answers_are_compared_and_thrown_away(pair: tuple[Server, Server]) -> None:
    arms = [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]
    async with split_mesh(pair, {"arms": arms}) as (_, face, service):
        request = infer_request("versioned", "r1", x=[[1.0, 5.0, 2.0]])
        assert read(await face.ModelInfer(request, timeout=10)) == [1.0, 5.0, 2.0]
        told = await compared(service, "2", 1)
        assert (told.agreed, told.differed, told.difference.max) == (1, 0, 5.0)  # twice as much, the same arg-max
        request = infer_request("versioned", "r2", x=[[-1.0, -5.0, 2.0]])
        request.inputs[0].shape[:] = [3, 1]
        assert read(await face.ModelInfer(request, timeout=10)) == [-1.0, -5.0, 2.0]
        told = await compared(service, "2", 2)
        assert (told.differed, list(told.examples)) == (1, ["r2"])
        assert (await figures(service))["2"].codes["OK"] == 2


async def test_a_mirror_that_hangs_delays_nothing_and_ends_with_the_router(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, {"arms": [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]}) as told:
        mesh, face, service = told
        await only(mesh, "one", "1")
        await only(mesh, "two", "2")
        assert await version(face) == 1
        await compared(service, "2", 1)
        pair[1].freeze()
        try:
            began = time.monotonic()
            assert [await version(face) for _ in range(20)] == [1] * 20
            assert time.monotonic() - began < 2.0
            assert mesh.router.admission.requests == 20  # the copies, which hang
        finally:
            pair[1].thaw()


async def only(mesh: Mesh, name: str, served: str) -> None:
    """Have this Triton be known for one version alone."""
    registration = mesh.registrations["versioned", name]
    await registration.update(replace(registration.replica, versions=(served,)))
    while mesh.endpoint("versioned", name).replica.versions != (served,):
        await asyncio.sleep(0.01)


async def test_a_mirror_that_fails_costs_the_real_traffic_nothing(pair: tuple[Server, Server]) -> None:
    # `slow` wants other inputs than `echo` has, so each copy is refused.
    arms = [{"name": "1", "share": 1}, {"name": "slow", "model": "slow", "mirror": True}]
    async with split_mesh(pair, {"arms": arms}, "echo") as (mesh, face, service):
        for number in range(20):
            assert read(await face.ModelInfer(echo_request([float(number)]), timeout=10)) == [float(number)]
        told = await compared(service, "slow", 20, "echo")
        assert (told.failed, told.agreed, told.differed) == (20, 0, 0)
        arm = (await figures(service, "echo"))["slow"]
        assert arm.codes == {"INVALID_ARGUMENT": 20}
        assert mesh.metric("inferloom_split_mirrored_total", arm="slow", result="failed") == 20
        assert mesh.metric("inferloom_attempt_failures_total") == 0


async def test_exposures_reach_the_file_and_a_subscriber(pair: tuple[Server, Server], tmp_path: Path) -> None:
    async with split_mesh(pair, HALVES) as (mesh, face, service):
        record = ExposureLog(tmp_path / "exposures.jsonl")
        await record.start()
        mesh.router.exposures.add(record)
        watching = service.WatchExposures(pb.WatchExposuresRequest(name="versioned"))
        while len(mesh.router.exposures.sinks) < 2:
            await asyncio.sleep(0.01)
        await version(face, "tester")
        await version(face)
        heard = [await asyncio.wait_for(watching.read(), 5) for _ in range(2)]
        watching.cancel()
        await record.close()
        lines = [json.loads(line) for line in (tmp_path / "exposures.jsonl").read_text().splitlines()]
        assert [(line["arm"], line["override"], bool(line["unit"])) for line in lines] == [
            ("2", True, True),
            (lines[1]["arm"], False, False),
        ]
        assert [(each.arm, each.unit, each.code) for each in heard] == [
            (line["arm"], line["unit"], "OK") for line in lines
        ]
        assert "tester" not in (tmp_path / "exposures.jsonl").read_text()


async def test_metrics_count_by_arm_and_code(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES) as (mesh, face, _):
        await version(face, "tester")
        with pytest.raises(grpc.aio.AioRpcError):
            await face.ModelInfer(infer_request("versioned", z=[[1.0]]), metadata=(("user", "tester"),), timeout=10)
        for code in ("OK", "INVALID_ARGUMENT"):
            assert mesh.metric("inferloom_split_requests_total", split="versioned", arm="2", code=code) == 1
        assert mesh.metric("inferloom_split_duration_seconds_count", arm="2") == 1
        assert mesh.metric("inferloom_split_part", arm="2") == 0.5


async def test_a_bad_document_is_told_and_the_good_one_stays(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, {"arms": [{"name": "2", "share": 1}]}) as (mesh, face, service):
        await mesh.registry.documents.put(KIND, "versioned", {"arms": []})
        while not mesh.router.splitting.problems:
            await asyncio.sleep(0.01)
        assert await version(face) == 2
        answer = await service.SplitFigures(pb.SplitFiguresRequest(name="versioned"))
        assert (answer.version, answer.problem) == (1, "version 2: split 'versioned': it has 0 arms; 1 to 64")
        assert mesh.metric("inferloom_split_refused", split="versioned") == 1


async def test_figures_of_no_split_are_not_found(pair: tuple[Server, Server]) -> None:
    async with split_mesh(pair, HALVES) as (_, _face, service):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.SplitFigures(pb.SplitFiguresRequest(name="echo"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_figures_of_hosts_are_added(pair: tuple[Server, Server]) -> None:
    """Another router stands for the one inside a host: it follows the same documents and sends calls of its own."""
    async with split_mesh(pair, HALVES) as (outer, face, service), running_mesh(registry=outer.registry) as inner:
        host = Replica("Service", "h", "127.0.0.1", inner.server.address.port, versions=("1",), kind=Kind.SERVICE)
        registration = await outer.registry.register(host)
        while "Service" not in outer.router.pool.groups or "versioned" not in inner.router.splitting.splits:
            await asyncio.sleep(0.01)
        async with stub(inner.address) as within:
            await version(within, "tester")
        await version(face, "tester")
        assert (await figures(service))["2"].codes["OK"] == 2
        alone = await service.SplitFigures(pb.SplitFiguresRequest(name="versioned", alone=True))
        assert {arm.arm: arm.codes["OK"] for arm in alone.arms if arm.codes} == {"2": 1}
        await registration.update(replace(host, port=1))
        while outer.endpoint("Service", "h").replica.port != 1:
            await asyncio.sleep(0.01)
        answer = await service.SplitFigures(pb.SplitFiguresRequest(name="versioned"), timeout=10)
        assert list(answer.unanswered) == ["127.0.0.1:1"]
