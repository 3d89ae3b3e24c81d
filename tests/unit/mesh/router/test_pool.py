from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from inferloom.mesh.catalog import State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ModelNotFound
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.pool import LINGER
from tests.unit.mesh.fakes import FakeMesh, after, call, replica

A, B = replica("a"), replica("b")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_model_that_did_not_change_keeps_its_endpoints() -> None:
    other = replica("a", model="digits")
    mesh = FakeMesh([A, other])
    kept = mesh.pool.groups["digits"].endpoints["a"]
    group = mesh.group
    mesh.pool.groups["digits"].choose(call(mesh.clock, model="digits"), mesh.clock.now())
    mesh.apply(A, B, other)
    assert not mesh.pool.groups["digits"]._dirty, "what did not change is not looked at again"
    assert mesh.pool.groups["digits"].endpoints["a"] is kept
    assert mesh.group is group


async def test_a_new_state_keeps_the_endpoint_with_its_health_and_load() -> None:
    mesh = FakeMesh([A, B])
    endpoint = mesh.endpoint("a")
    mesh.apply(replace(A, state=State.DRAINING, weight=2.0), B)
    assert mesh.endpoint("a") is endpoint
    assert endpoint.replica.state is State.DRAINING


@pytest.mark.parametrize("changes", [{"generation": 2}, {"port": 9}, {"host": "10.0.0.9"}], ids=str)
async def test_another_server_behind_a_replica_is_a_new_endpoint_with_a_new_channel(changes: dict[str, object]) -> None:
    mesh = FakeMesh([A, B])
    endpoint, channel = mesh.endpoint("a"), mesh.channel("a")
    endpoint.health.refuse("gone")
    mesh.apply(replica("a", **changes), B)
    assert mesh.endpoint("a") is not endpoint
    assert mesh.channel("a") is not channel
    assert mesh.endpoint("a").health.reachable
    assert not channel.on_refused
    assert not channel.on_reachable
    await settle()
    assert channel.closes == [LINGER]


async def test_models_of_one_server_share_its_channel_which_is_closed_with_the_last_of_them() -> None:
    other = replica("a", model="digits")
    mesh = FakeMesh([A, other])
    (channel,) = mesh.channels
    assert channel.users == 2
    mesh.apply(other)
    await settle()
    assert (channel.users, channel.closes) == (1, [])
    mesh.apply()
    await settle()
    assert (channel.users, channel.closes) == (0, [LINGER])


async def test_a_server_that_refuses_is_out_for_all_of_its_models() -> None:
    mesh = FakeMesh([A, replica("a", model="digits")])
    for refused in tuple(mesh.channel("a").on_refused):
        refused("no connection")
    assert not any(group.endpoints["a"].health.reachable for group in mesh.pool.groups.values())


async def test_a_call_in_flight_at_a_removed_replica_may_end() -> None:
    mesh = FakeMesh([A, B])
    for key in "ab":
        mesh.channel(key).answer = after(mesh.clock, 0.5)
    task = asyncio.create_task(mesh.handle(call(mesh.clock)))
    await mesh.clock.advance(0.1)
    busy = mesh.endpoint("a") if mesh.sent("a") else mesh.endpoint("b")
    mesh.apply()
    await mesh.clock.advance(0.5)
    assert (await task).payload == b"ok"
    assert busy.load.in_flight == 0


async def test_closing_closes_every_channel_also_those_that_linger() -> None:
    mesh = FakeMesh([A, B])
    mesh.apply(A)
    await mesh.pool.close()
    await settle()
    assert [channel.closes[-1] for channel in mesh.channels] == [None, None]
    assert not mesh.pool.groups


async def test_a_model_that_left_is_not_found() -> None:
    mesh = FakeMesh([A])
    mesh.apply()
    with pytest.raises(ModelNotFound):
        mesh.pool.group("iris")


async def test_it_follows_a_registry() -> None:
    registry = MemoryRegistry(ManualClock())
    mesh = FakeMesh([])
    following = asyncio.create_task(mesh.pool.follow(registry))
    registration = await registry.register(A)
    await settle()
    assert set(mesh.group.endpoints) == {"a"}
    await registration.deregister()
    await settle()
    assert not mesh.pool.groups
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_replica_that_stops_because_of_a_problem_loses_its_calls_at_once() -> None:
    mesh = FakeMesh([A, B])

    class Rpc:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    calls = [Rpc(), Rpc()]
    mesh.endpoint("a").active.update(calls[:1])
    mesh.endpoint("b").active.update(calls[1:])
    mesh.apply(replace(A, state=State.STARTING, problem="hangs"), replace(B, state=State.DRAINING))
    assert [one.cancelled for one in calls] == [True, False]
