from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.catalog import State
from inferloom.mesh.errors import InvalidInput, ModelNotFound, NoReplica, ReplicaError
from inferloom.mesh.oip import pb
from inferloom.mesh.router.information import Information
from tests.unit.mesh.fakes import Sent, fails, replica
from tests.unit.mesh.router.face_fakes import FakeRouter

A = replica("a", versions=("1", "2"))
B = replica("b", versions=("1",))


async def ready(router: FakeRouter, name: str, version: str = "") -> bool:
    request = pb.ModelReadyRequest(name=name, version=version).SerializeToString()
    answer = await Information(router).model_ready(request, 0.0)
    return bool(pb.ModelReadyResponse.FromString(answer).ready)


async def test_the_mesh_is_live_ready_and_says_what_it_is() -> None:
    information = Information(FakeRouter())
    assert pb.ServerLiveResponse.FromString(await information.server_live(b"", 0.0)).live
    assert pb.ServerReadyResponse.FromString(await information.server_ready(b"", 0.0)).ready
    about = pb.ServerMetadataResponse.FromString(await information.server_metadata(b"", 0.0))
    assert about.name == "inferloom"
    assert "statistics" in about.extensions


async def test_a_model_is_ready_where_a_usable_replica_has_the_version() -> None:
    router = FakeRouter(A, replica("b", versions=("3",), state=State.STARTING))
    assert await ready(router, "iris")
    assert await ready(router, "iris", "2")
    assert not await ready(router, "iris", "3")
    assert not await ready(router, "iris", "9")
    assert not await ready(router, "other")
    assert await ready(FakeRouter(replica("a", versions=())), "iris", "7")  # the replica itself knows


async def test_a_request_that_does_not_parse_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="ModelReadyRequest"):
        await Information(FakeRouter()).model_ready(b"\xff", 0.0)


async def index(router: FakeRouter, *, ready_only: bool = False) -> list[tuple[str, str, str, str]]:
    request = pb.RepositoryIndexRequest(ready=ready_only).SerializeToString()
    answer = pb.RepositoryIndexResponse.FromString(await Information(router).repository_index(request, 0.0))
    return [(entry.name, entry.version, entry.state, entry.reason) for entry in answer.models]


async def test_the_index_lists_versions_and_why_a_replica_is_not_there() -> None:
    router = FakeRouter(
        A,
        replica("b", state=State.STARTING, problem="no memory"),
        replica("a", model="slow", versions=(), state=State.STARTING),
        replica("a", model="far", versions=()),
    )
    assert await index(router) == [
        ("far", "", "READY", ""),
        ("iris", "1", "READY", ""),
        ("iris", "2", "READY", ""),
        ("iris", "", "UNAVAILABLE", "b: no memory"),
        ("slow", "", "LOADING", "a: starting"),
    ]
    assert [entry[0] for entry in await index(router, ready_only=True)] == ["far", "iris", "iris"]


class TestStatistics:
    async def ask(self, router: FakeRouter, name: str = "iris", version: str = "") -> Any:
        request = pb.ModelStatisticsRequest(name=name, version=version).SerializeToString()
        deadline = router.manual.now() + 5.0
        return pb.ModelStatisticsResponse.FromString(await Information(router).model_statistics(request, deadline))

    def router(self, *counts: int | ReplicaError) -> FakeRouter:
        router = FakeRouter(A, B)
        for channel, count in zip(router.channels.values(), counts, strict=True):
            if isinstance(count, ReplicaError):
                channel.answer = fails(count)
            else:
                channel.answer = self.counting(count)
        return router

    def counting(self, count: int) -> Any:
        async def answer(sent: Sent) -> Reply:
            row = pb.ModelStatistics(name="iris", version="1", inference_count=count)
            return Reply(pb.ModelStatisticsResponse(model_stats=[row]).SerializeToString())

        return answer

    async def test_they_are_summed_over_the_replicas(self) -> None:
        (row,) = (await self.ask(self.router(3, 4))).model_stats
        assert row.inference_count == 7

    async def test_replicas_that_do_not_answer_are_left_out(self) -> None:
        gone = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
        (row,) = (await self.ask(self.router(3, gone))).model_stats
        assert row.inference_count == 3

    async def test_where_none_answers_the_first_ones_error_names_it(self) -> None:
        gone = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
        with pytest.raises(ReplicaError, match="a: Socket closed"):
            await self.ask(self.router(gone, gone))

    async def test_only_replicas_with_the_version_are_asked(self) -> None:
        (row,) = (await self.ask(self.router(3, 4), version="2")).model_stats
        assert row.inference_count == 3

    async def test_without_a_name_all_models_are_asked(self) -> None:
        (row,) = (await self.ask(self.router(1, 2), name="")).model_stats
        assert row.inference_count == 3
        assert not (await self.ask(FakeRouter(), name="")).model_stats

    async def test_an_unknown_model_is_not_found_and_one_without_replicas_unavailable(self) -> None:
        with pytest.raises(ModelNotFound):
            await self.ask(FakeRouter(A), name="irsi")
        with pytest.raises(NoReplica):
            await self.ask(FakeRouter(replica("a", state=State.DRAINING)))

    async def test_asking_leaves_no_trace_in_load_and_health(self) -> None:
        router = self.router(3, ReplicaError(StatusCode.UNAVAILABLE, "x"))
        await self.ask(router)
        for endpoint in router.pool.groups["iris"].endpoints.values():
            assert (endpoint.load.requests, endpoint.load.in_flight, endpoint.active) == (0, 0, set())
