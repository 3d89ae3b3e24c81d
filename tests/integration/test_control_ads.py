"""The discovery service against the real Envoy: the cases of grpc-go's ADS suite."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS
from inferloom.mesh.xds.server import SERVICE
from tests.support.control import Rig, running_control, until
from tests.support.load import Load

RELOADS = r"cluster_manager\.cluster_(added|modified|removed)$|listener_(modified|added)$|rds\.edge\.config_reload$"


async def reloads(rig: Rig) -> dict[str, int]:
    assert rig.envoy is not None
    return await asyncio.to_thread(rig.envoy.stats, RELOADS)


async def test_what_there_is_is_taken_and_acknowledged(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        assert await call("iris") == "one"
        assert await call("unheard-of") == "router"
        for kind in (CDS, EDS, LDS, RDS):
            assert rig.has(kind).acks == rig.has(kind).pushes == 1
            assert rig.has(kind).nacks == 0


async def test_a_model_that_comes_and_goes_is_routed_and_no_longer(tmp_path: Path) -> None:
    async with running_control(tmp_path) as rig, rig.caller() as call:
        assert await call("iris") == "router"
        replica = await rig.join("iris")
        await until(lambda: "iris" in rig.served())
        assert await call("iris") == "one"
        await replica.deregister()
        await until(lambda: "iris" not in rig.served())
        assert await call("iris") == "router"
        await until(lambda: "model/iris" not in rig.has(CDS).have)
        await until(lambda: rig.has(EDS).asked == frozenset())


async def test_a_change_of_one_replica_sends_its_endpoints_alone(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris", "rose")) as rig, rig.caller() as call:
        before = {kind: rig.has(kind).pushes for kind in (CDS, EDS, LDS, RDS)}
        seen = await reloads(rig)
        await rig.join("iris", rig.other, "b")
        await until(lambda: rig.has(EDS).acks == before[EDS] + 1)
        assert {kind: rig.has(kind).pushes for kind in before} == before | {EDS: before[EDS] + 1}
        assert await reloads(rig) == seen
        answered = {await call("iris") for _ in range(50)}
        assert answered == {"one", "two"}


async def test_a_restarted_control_plane_reloads_nothing_that_is_unchanged(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris", "rose")) as rig, rig.caller() as call:
        versions = {kind: rig.has(kind).version for kind in (CDS, LDS, RDS)}
        seen = await reloads(rig)
        await rig.stop_control()
        assert await call("iris") == "one"
        await rig.start_control()
        await rig.connected()
        assert {kind: rig.has(kind).version for kind in versions} == versions
        assert [rig.has(kind).pushes for kind in versions] == [0, 0, 0], "it says itself what it has"
        assert await reloads(rig) == seen
        await rig.join("lily")
        await until(lambda: "lily" in rig.served())
        assert await call("lily") == "one"


async def test_what_changed_while_nobody_was_connected_is_taken_up(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        await rig.stop_control()
        replica = await rig.join("rose")
        await rig.start_control()
        await rig.connected()
        assert await call("rose") == "one"
        await rig.stop_control()
        await replica.deregister()
        await rig.start_control()
        await rig.connected()
        assert await call("rose") == "router"


async def test_a_model_that_went_while_nobody_was_connected_costs_no_request(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:

        async def send(number: int) -> None:
            assert await call("rose") in ("one", "router")

        for _ in range(3):
            replica = await rig.join("rose")
            await until(lambda: "rose" in rig.served())
            async with Load(send, 8) as load:
                await load.until(lambda: load.answered > 20)
                await rig.stop_control()
                await replica.deregister()
                await rig.start_control()
                await rig.connected()
                assert await call("rose") == "router"
            assert load.failures == []


async def test_a_control_plane_replaced_by_another_under_load_costs_no_request(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",), controls=2) as rig, rig.caller() as call:

        async def send(number: int) -> None:
            assert await call("iris") in ("one", "two")

        async with Load(send, 4) as load:
            await load.until(lambda: load.answered > 50)
            await rig.stop_control(0)
            await rig.start_control(1)
            await rig.connected()
            await rig.join("iris", rig.other, "b")
            await until(lambda: rig.other.calls > 0)
            await rig.stop_control(1)
            await rig.start_control(0)
            await rig.connected()
            seen = load.answered
            await load.until(lambda: load.answered > seen + 50)
        assert load.failures == []


async def test_an_edge_that_starts_before_its_control_plane_waits_for_it(tmp_path: Path) -> None:
    async with Rig(MemoryRegistry(), tmp_path, 1) as rig:
        starting = asyncio.create_task(rig.start_envoy())
        await asyncio.sleep(0)
        await rig.start_control()
        await asyncio.wait_for(starting, 20)
        await rig.connected()
        async with rig.caller() as call:
            assert await call("x") == "router"


async def test_many_models_at_once_are_one_push_of_each_type(tmp_path: Path) -> None:
    async with running_control(tmp_path) as rig, rig.caller() as call:
        before = {kind: rig.has(kind).pushes for kind in (CDS, RDS)}
        for number in range(100):
            await rig.join(f"m{number}")
        await until(lambda: len(rig.served()) == 100)
        assert await call("m99") == "one"
        assert all(rig.has(kind).pushes - before[kind] <= 3 for kind in before)


async def test_deltas_are_not_spoken(tmp_path: Path) -> None:
    async with Rig(MemoryRegistry(), tmp_path, 1) as rig:
        await rig.start_control()
        async with grpc.aio.insecure_channel(str(rig.controls[0])) as channel:
            face: Any = channel
            call = face.stream_stream(f"/{SERVICE}/DeltaAggregatedResources")()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_node_that_says_nonsense_is_told_what_is_wrong(tmp_path: Path) -> None:
    from envoy_data_plane.envoy.config.core.v3 import Node
    from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest
    from envoy_data_plane.google.protobuf import Struct

    async with Rig(MemoryRegistry(), tmp_path, 1) as rig:
        await rig.start_control()
        node = Node(id="odd", metadata=Struct.from_dict({"inferloom": {"access_log": "everything"}}))
        async with grpc.aio.insecure_channel(str(rig.controls[0])) as channel:
            face: Any = channel
            call = face.stream_stream(f"/{SERVICE}/StreamAggregatedResources")()
            await call.write(bytes(DiscoveryRequest(type_url=CDS, node=node)))
            with pytest.raises(grpc.aio.AioRpcError, match="access_log is 'everything'") as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
