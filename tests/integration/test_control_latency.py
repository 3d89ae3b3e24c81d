"""How soon the edge follows the registry, and control planes that come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.consul import ConsulRegistry
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.xds.discovery import CDS
from inferloom.mesh.xds.server import SERVICE
from tests.support.control import Rig, running_control, until
from tests.support.load import Load

pytest_plugins = ("tests.support.consul_fixtures",)

SOON = 1.0  # second
Call = Callable[[str], Awaitable[str]]


async def rounds(rig: Rig, writer: Registry, call: Call, count: int) -> list[float]:
    """Seconds until a new model, a second replica, and a replica's going were to be seen by a caller, each round."""
    took = []

    async def until_answered(model: str, *names: str) -> None:
        began = time.monotonic()
        while {await call(model) for _ in range(8)} != set(names):
            assert time.monotonic() - began < 10, f"{model}: {await call(model)}"
            await asyncio.sleep(0.005)
        took.append(time.monotonic() - began)

    for number in range(count):
        model = f"m{number}"
        record = Replica(model, "a", "127.0.0.1", rig.replica.port, versions=("1",))
        one = await writer.register(record)
        await until_answered(model, "one")
        await writer.register(replace(record, id="b", port=rig.other.port))
        await until_answered(model, "one", "two")
        await one.update(replace(record, state=State.DRAINING))
        await until_answered(model, "two")
    return took


async def test_the_edge_follows_a_registry_in_memory_within_a_second(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    async with running_control(tmp_path, registry) as rig, rig.caller() as call:
        took = await rounds(rig, registry, call, 10)
        assert max(took) < SOON, took


async def test_the_edge_follows_consul_within_a_second(
    tmp_path: Path, registries: Callable[..., ConsulRegistry]
) -> None:
    registry = registries()
    await registry.start()
    async with running_control(tmp_path, registry) as rig, rig.caller() as call:
        took = await rounds(rig, registries(), call, 4)
        assert sorted(took)[len(took) // 2] < SOON, took


async def test_a_replica_that_the_registry_calls_dead_is_out_within_a_second(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        dead = await rig.join("iris", rig.other, "b")
        await until(lambda: rig.session.settled)
        began = time.monotonic()
        await dead.update(replace(dead.replica, healthy=False))
        while {await call("iris") for _ in range(8)} != {"one"}:
            assert time.monotonic() - began < SOON


async def test_a_control_plane_that_restarts_again_and_again_costs_no_request(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:

        async def send(number: int) -> None:
            assert await call("iris") == "one"

        async with Load(send, 4) as load:
            for number in range(5):
                await rig.stop_control()
                await rig.start_control()
                await rig.connected()
                await rig.join(f"m{number}")
                await until(lambda name=f"m{number}": name in rig.served())  # type: ignore[misc]
        assert load.failures == []
        assert load.answered > 20


async def test_a_storm_of_reconnects_leaves_nothing_behind_and_the_edge_is_served(tmp_path: Path) -> None:
    from envoy_data_plane.envoy.config.core.v3 import Node
    from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest

    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        plane = rig.planes[0]
        ask = bytes(DiscoveryRequest(type_url=CDS, node=Node(id="stormy")))

        async def connect(channel: Any) -> None:
            stream = channel.stream_stream(f"/{SERVICE}/StreamAggregatedResources")()
            await stream.write(ask)
            assert await stream.read() is not grpc.aio.EOF  # type: ignore[attr-defined]
            stream.cancel()

        async with grpc.aio.insecure_channel(str(rig.controls[0])) as channel:
            for _ in range(4):
                await asyncio.gather(*(connect(channel) for _ in range(50)))
        await until(lambda: len(plane.discovery.streams) == 1)
        compiled = plane.discovery.targets.compilations
        await rig.join("rose")
        await until(lambda: "rose" in rig.served())
        assert await call("rose") == "one"
        assert plane.discovery.targets.compilations <= compiled + 2
        assert plane.discovery.counts()[CDS][0] >= 200, "what was sent on streams that have ended is counted too"
