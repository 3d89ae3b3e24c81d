"""Figures over MeshService: this process's, its hosts', and those of Routes that only hosts know."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from inferloom.mesh.call import Reply
from inferloom.mesh.catalog import Kind
from inferloom.mesh.errors import Unsupported
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.mesh.router.mesh_service import MeshService
from inferloom.mesh.router.split_metrics import split_metrics
from inferloom.mesh.router.split_service import NoSplit, SplitService, figures_servicer
from inferloom.mesh.router.transport import Lost
from inferloom.mesh.split import Split
from inferloom.v1 import mesh_pb2 as pb
from tests.unit.mesh.fakes import Sent, fails, replica
from tests.unit.mesh.router.split_fakes import HALVES, MIRRORED, SplitMesh

HOST = replica("h", model="Service", kind=Kind.SERVICE)


def service(mesh: SplitMesh) -> SplitService:
    router: Any = SimpleNamespace(splitting=mesh.splitting, exposures=mesh.exposures, pool=mesh.pool, clock=mesh.clock)
    return SplitService(router)


def host(mesh: SplitMesh, answer: Any) -> None:
    """Have a host that answers so."""
    mesh.apply(replica("a", versions=("1", "2")), HOST, replace(HOST, model="Service.other"))
    channel: Any = mesh.pool.groups["Service"].endpoints["h"].channel
    channel.answer = answer


async def test_a_host_with_several_services_is_asked_once_and_added() -> None:
    mesh, asked = SplitMesh(MIRRORED), []

    async def answer(sent: Sent) -> Reply:
        asked.append(sent)
        assert pb.SplitFiguresRequest.FromString(sent.payload) == pb.SplitFiguresRequest(name="iris", alone=True)
        figures = pb.ArmFigures(arm="1", version="1", codes={"OK": 5})
        return Reply(pb.SplitFiguresResponse(name="iris", arms=[figures]).SerializeToString())

    host(mesh, answer)
    await mesh.ask()
    await mesh.mirrors_done()
    told = await service(mesh).figures("iris")
    assert told.arms[0].codes["OK"] == 6
    assert [arm.served for arm in told.arms] == [True, True]
    assert len(asked) == 1
    assert (await service(mesh).figures("iris", alone=True)).arms[0].codes["OK"] == 1


async def test_a_host_that_does_not_answer_is_named() -> None:
    mesh = SplitMesh()
    host(mesh, fails(Lost("connection refused", sent=False)))
    assert list((await service(mesh).figures("iris")).unanswered) == [HOST.address]


async def test_the_split_of_a_route_is_told_by_its_composer_and_by_whoever_knows_that() -> None:
    composer, outer = SplitMesh(None), SplitMesh(None)
    route = Split.from_json("digits.arm", HALVES)
    composer.splitting.routes["digits.arm"] = LiveSplit(route, 3, 1.7e9)
    composer.splitting.routes["digits.arm"].figures.of(route.arms[0]).finished("OK", 0.1)
    inner = await service(composer).figures("digits.arm")
    assert [arm.codes["OK"] for arm in inner.arms] == [1, 0]

    async def answer(sent: Sent) -> Reply:
        return Reply(inner.SerializeToString())

    host(outer, answer)
    told = await service(outer).figures("digits.arm")
    assert (told.version, told.arms[0].codes["OK"]) == (3, 1)


async def test_no_split_is_told_with_the_reason_where_there_is_one() -> None:
    mesh = SplitMesh({"arms": []})
    with pytest.raises(NoSplit, match=r"no split 'iris' is in force: version 1: .* it has 0 arms"):
        await service(mesh).figures("iris")
    with pytest.raises(NoSplit, match=r"no split 'other' is in force$"):
        await service(mesh).figures("other")


class Context:
    async def abort(self, code: Any, text: str, trailing: Any = ()) -> None:
        raise Unsupported(f"{code.name}: {text}")


async def test_a_process_without_a_router_says_so() -> None:
    mesh_service = MeshService(MemoryRegistry(), SplitMesh().clock)
    with pytest.raises(Unsupported, match="UNIMPLEMENTED: no router runs in this process"):
        await mesh_service.SplitFigures(pb.SplitFiguresRequest(name="iris"), Context())
    with pytest.raises(Unsupported, match="UNIMPLEMENTED: no router runs in this process"):
        await anext(aiter(mesh_service.WatchExposures(pb.WatchExposuresRequest(), Context())))


async def test_the_servicer_for_hosts_answers_figures_and_nothing_else() -> None:
    router: Any = SimpleNamespace(splitting=SplitMesh().splitting)
    servicer = figures_servicer(router)
    told = await servicer.SplitFigures(pb.SplitFiguresRequest(name="iris", alone=True), Context())  # type: ignore[no-untyped-call]
    assert [arm.arm for arm in told.arms] == ["1", "2"]


async def test_metrics_have_the_mirror_s_results_and_differences() -> None:
    mesh = SplitMesh({"arms": [*MIRRORED["arms"], {"name": "9", "mirror": True}]})
    await mesh.ask()
    await mesh.mirrors_done()
    mesh.write({"arms": []}, name="broken")
    samples = {
        (s.name, *s.labels.values()): s.value for family in split_metrics(mesh.splitting) for s in family.samples
    }
    assert samples["inferloom_split_requests_total", "iris", "1", "OK"] == 1
    assert samples["inferloom_split_mirrored_total", "iris", "9", "unserved"] == 1
    assert samples["inferloom_split_mirrored_total", "iris", "2", "unreadable"] == 1
    assert samples["inferloom_split_duration_seconds_bucket", "iris", "1", "+Inf"] == 1
    assert samples["inferloom_split_duration_seconds_bucket", "iris", "1", "0.00025"] == 1
    assert samples["inferloom_split_refused", "broken"] == 1
