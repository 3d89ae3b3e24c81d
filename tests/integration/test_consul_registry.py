"""Replicas in a real Consul."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from inferloom.mesh.catalog import State
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul, Health, eventually, replica, until

pytest_plugins = ("tests.support.consul_fixtures",)

Make = Callable[..., ConsulRegistry]


async def test_a_replica_is_seen_within_a_second_of_its_registration(registries: Make) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    assert reader.catalog.fresh
    began = time.monotonic()
    registration = await writer.register(replica(weight=2.5, locality="eu/a", http_port=8000, problem="none"))
    catalog = await eventually(reader, lambda c: "iris" in c.models)
    assert time.monotonic() - began < 1.0
    assert catalog.models["iris"].replicas == (registration.replica,)
    assert reader.age < 5.0


async def test_a_change_of_state_is_seen_within_a_second(registries: Make) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    registration = await writer.register(replica())
    await eventually(reader, lambda c: "iris" in c.models)
    await asyncio.sleep(1.1)  # let the token bucket fill, as between real changes
    began = time.monotonic()
    await registration.update(replace(registration.replica, state=State.DRAINING, versions=("1", "2")))
    catalog = await eventually(reader, lambda c: c.models["iris"].replicas[0].state is State.DRAINING)
    assert time.monotonic() - began < 1.0
    assert catalog.models["iris"].versions == ("1", "2")


async def test_an_unchanged_model_stays_the_same_object(registries: Make) -> None:
    registry = registries()
    await registry.start()
    await registry.register(replica("one"))
    before = await eventually(registry, lambda c: "one" in c.models)
    await registry.register(replica("two"))
    after = await eventually(registry, lambda c: "two" in c.models)
    assert after.models["one"] is before.models["one"]


async def test_deregistering_takes_everything_out_and_may_be_repeated(
    consul: Consul, registries: Make, sidecar_health: Health
) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    registration = await writer.register(replica(check=sidecar_health.address))
    await eventually(reader, lambda c: "iris" in c.models)
    began = time.monotonic()
    await registration.deregister()
    await eventually(reader, lambda c: not c.models)
    assert time.monotonic() - began < 1.5
    assert set(await consul.ask("GET", "catalog/services")) == {"consul"}
    assert not await consul.ask("GET", "kv/?keys")
    assert await consul.ask("GET", "session/list") == []
    await registration.deregister()


async def test_a_failing_health_check_of_the_sidecar_makes_all_its_replicas_unhealthy(
    consul: Consul, registries: Make, sidecar_health: Health
) -> None:
    registry = registries()
    await registry.start()
    for model in ("one", "two"):
        await registry.register(replica(model, check=sidecar_health.address))
    catalog = await eventually(registry, lambda c: len(c.models) == 2)
    assert all(found.healthy for found in catalog.replicas())
    checks = await consul.ask("GET", "agent/checks")
    assert sorted(check["Type"] for check in checks.values()) == ["alias", "alias", "grpc"]
    sidecar_health.serving = False
    await eventually(registry, lambda c: not any(found.healthy for found in c.replicas()), 6.0)
    sidecar_health.serving = True
    await eventually(registry, lambda c: all(found.healthy for found in c.replicas()), 6.0)


async def test_an_update_while_the_check_fails_does_not_heal(registries: Make, sidecar_health: Health) -> None:
    registry = registries()
    await registry.start()
    registration = await registry.register(replica(check=sidecar_health.address))
    sidecar_health.serving = False
    await eventually(registry, lambda c: bool(c.models) and not c.models["iris"].replicas[0].healthy, 6.0)
    seen = []
    await registration.update(replace(registration.replica, versions=("1", "2")))
    catalog = await eventually(registry, lambda c: seen.append(c) or c.models["iris"].versions == ("1", "2"))  # type: ignore[func-returns-value]
    assert not any(found.healthy for each in [*seen, catalog] for found in each.replicas())


async def test_names_that_differ_only_in_case_clash(registries: Make) -> None:
    first, second = registries(), registries()
    await first.register(replica("Iris"))
    await first.register(replica("Iris", "b"))
    with pytest.raises(InvalidInput, match="'iris' clashes with 'Iris'"):
        await second.register(replica("iris"))


async def test_names_with_every_allowed_character_are_told_apart(consul: Consul, registries: Make) -> None:
    registry = registries()
    await registry.start()
    names = ["a.b", "a-b", "a_b", "a-x2e-b", "Up.Down_1"]
    for name in names:
        await registry.register(replica(name))
    catalog = await eventually(registry, lambda c: len(c.models) == len(names))
    assert set(catalog.models) == set(names)
    services = await consul.ask("GET", "catalog/services")
    assert len(services) == len(names) + 1
    assert services["up-x2e-down-x5f-1"] == ["inferloom"]


async def test_consul_shows_the_true_name_the_address_and_the_weight(consul: Consul, registries: Make) -> None:
    await registries().register(replica("Iris", port=9123, weight=0.5, versions=("1", "3")))
    (instance,) = await consul.ask("GET", "health/service/iris?passing")
    service = instance["Service"]
    assert service["Meta"] == {
        "model": "Iris",
        "replica": "a",
        "state": "serving",
        "versions": "1,3",
        "http_port": "0",
        "app_port": "0",
        "locality": "",
    }
    assert (service["Address"], service["Port"], service["Weights"]["Passing"]) == ("127.0.0.1", 9123, 50)


async def test_the_later_of_two_processes_with_one_replica_id_has_it(consul: Consul, registries: Make) -> None:
    first, second, reader = registries(), registries(), registries()
    await reader.start()
    older = await first.register(replica(port=9001))
    newer = await second.register(replica(port=9002, generation=1))
    await eventually(reader, lambda c: bool(c.models) and c.models["iris"].replicas[0].port == 9002)
    await older.update(replica(port=9001, versions=("7",)))
    assert "lost" in repr(older)
    await older.deregister()
    assert older not in first._registrar._present.values()
    await asyncio.sleep(1.0)
    assert reader.catalog.models["iris"].replicas[0].port == 9002
    assert (await consul.ask("GET", "health/service/iris"))[0]["Service"]["Port"] == 9002
    await newer.deregister()
    await eventually(reader, lambda c: not c.models)


async def test_records_go_with_the_session_of_their_process(consul: Consul, registries: Make) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    await writer.register(replica())
    await eventually(reader, lambda c: "iris" in c.models)
    await writer.close()
    (session,) = await consul.ask("GET", "session/list")
    assert (session["TTL"], session["Behavior"], session["NodeChecks"]) == ("300s", "delete", [])
    await consul.ask("PUT", f"session/destroy/{session['ID']}")
    await eventually(reader, lambda c: not c.models)


async def test_a_record_that_somebody_deleted_is_asserted_again(
    consul: Consul, registries: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferloom.mesh.registry.consul.registrar.ASSERT", 2.0)
    registry = registries()
    await registry.start()
    await registry.register(replica())
    await eventually(registry, lambda c: "iris" in c.models)
    await consul.ask("DELETE", "kv/inferloom?recurse")
    await eventually(registry, lambda c: not c.models)
    await eventually(registry, lambda c: "iris" in c.models)
    await consul.ask("PUT", "agent/service/deregister/inferloom:iris:a")

    async def back() -> bool:
        return bool(await consul.ask("GET", "health/service/iris"))

    await until(back)


async def test_a_replica_without_a_check_is_kept_alive_by_its_process(
    consul: Consul, registries: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inferloom.mesh.registry.consul.instance.TTL", 1)
    monkeypatch.setattr("inferloom.mesh.registry.consul.registrar.ASSERT", 0.4)
    writer, reader = registries(), registries()
    await reader.start()
    await writer.register(replica())
    await eventually(reader, lambda c: "iris" in c.models)
    with pytest.raises(AssertionError, match="not within"):
        await eventually(reader, lambda c: not c.models["iris"].ready, 3.0)
    await writer.close()
    await eventually(reader, lambda c: not c.models["iris"].ready, 3.0)


async def test_an_unreadable_record_breaks_nothing(consul: Consul, registries: Make) -> None:
    registry = registries()
    await registry.start()
    await registry.register(replica("good"))
    await eventually(registry, lambda c: "good" in c.models)
    await consul.ask("PUT", "kv/inferloom/replicas/bad/a", b"\xff\x00 no record")
    await consul.ask("PUT", "kv/inferloom/replicas/good/a", b'{"state":"quantum"}')
    await consul.ask("PUT", "kv/inferloom/replicas/not-even-a-place", b"{}")
    await registry.register(replica("later"))
    catalog = await eventually(registry, lambda c: "later" in c.models)
    assert set(catalog.models) == {"good", "later"}
    assert catalog.models["good"].replicas[0] == replica("good")


async def test_watching_two_hundred_models_takes_as_many_connections_as_none(consul: Consul, registries: Make) -> None:
    def connections() -> int:
        found = psutil.Process().net_connections("tcp")
        return len([one for one in found if one.raddr and one.raddr.port == int(consul.address.rpartition(":")[2])])

    reader = registries()
    await reader.start()
    with_none = connections()
    assert with_none <= 3  # two blocking queries, and the question at the start
    writer = registries()
    await asyncio.gather(*(writer.register(replica(f"model-{number}")) for number in range(200)))
    await eventually(reader, lambda c: len(c.models) == 200, 20.0)
    assert connections() - with_none <= 4
    await writer.close()
    assert connections() == with_none


async def test_meshes_with_different_prefixes_share_a_consul(registries: Make) -> None:
    ours, theirs = registries(prefix="ours"), registries(prefix="theirs")
    await ours.start()
    await theirs.start()
    await ours.register(replica("one"))
    await theirs.register(replica("One"))
    assert set((await eventually(ours, lambda c: bool(c.models))).models) == {"one"}
    assert set((await eventually(theirs, lambda c: bool(c.models))).models) == {"One"}
