"""What Consul's absence, loss of memory and slowness do to a mesh: nothing that its callers see."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.mesh.catalog import Catalog, State
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.mesh.registry.consul import ConsulRegistry
from inferloom.mesh.registry.consul import registrar as registrar_module
from tests.support.consul import Consul, Health, eventually, replica, until

pytest_plugins = ("tests.support.consul_fixtures",)

Make = Callable[..., ConsulRegistry]


class Recorder:
    """Every catalog that a watcher saw."""

    def __init__(self, registry: ConsulRegistry) -> None:
        self.seen: list[Catalog] = []
        self._task = asyncio.create_task(self._watch(registry))

    async def _watch(self, registry: ConsulRegistry) -> None:
        async for catalog in registry.watch():
            self.seen.append(catalog)

    async def stop(self) -> list[Catalog]:
        self._task.cancel()
        await asyncio.wait({self._task})
        return self.seen


async def test_a_consul_that_is_killed_and_forgets_everything_never_empties_the_catalog(
    consul: Consul, registries: Make, sidecar_health: Health
) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    for model in ("one", "two"):
        await writer.register(replica(model, check=sidecar_health.address))
    for number in range(30):  # so that the index of the new Consul is the smaller one
        await consul.ask("PUT", f"kv/elsewhere/{number}", b"x")
    await eventually(reader, lambda c: len(c.models) == 2)
    recorder = Recorder(reader)
    await consul.kill()
    await eventually(reader, lambda c: not c.fresh)
    assert reader.age < 30.0
    await consul.restart()
    began = time.monotonic()
    await eventually(reader, lambda c: c.fresh)
    assert not await consul.ask("GET", "kv/inferloom/?keys"), "asserted before the test could look"

    async def asserted() -> bool:
        return len(await consul.ask("GET", "kv/inferloom/replicas/?keys") or ()) == 2

    while not await asserted():
        assert time.monotonic() - began < registrar_module.ASSERT + 2.0
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)
    for catalog in await recorder.stop():
        assert set(catalog.models) == {"one", "two"}
        assert all(found.usable for found in catalog.replicas())
    assert len(await consul.ask("GET", "health/service/two?passing")) == 1


async def test_what_was_draining_or_failing_does_not_come_back_with_a_consul_that_forgot(
    consul: Consul, registries: Make, sidecar_health: Health
) -> None:
    writer, reader = registries(), registries()
    await reader.start()
    draining = await writer.register(replica("draining"))
    await writer.register(replica("failing", check=sidecar_health.address))
    await writer.register(replica("well"))
    sidecar_health.serving = False
    await draining.update(replace(draining.replica, state=State.DRAINING))
    await eventually(reader, lambda c: [m for m in c.models if c.models[m].ready] == ["well"], 6.0)
    await writer.close()
    await consul.kill()
    await consul.restart()
    catalog = await eventually(reader, lambda c: c.fresh and len(c.models) < 3)
    assert set(catalog.models) == {"well"}


async def test_an_update_during_an_outage_is_written_when_consul_is_back(consul: Consul, registries: Make) -> None:
    registry = registries()
    await registry.start()
    registration = await registry.register(replica())
    await eventually(registry, lambda c: "iris" in c.models)
    await consul.kill()
    await registration.update(replace(registration.replica, versions=("1", "2")))
    assert registration.replica.versions == ("1", "2")
    await consul.restart()
    await eventually(registry, lambda c: c.fresh and c.models["iris"].versions == ("1", "2"))


async def test_deregistering_during_an_outage_says_so_and_is_done_when_consul_is_back(
    consul: Consul, registries: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar_module, "PATIENCE", 1.0)
    registry = registries()
    registration = await registry.register(replica())
    consul.stop()
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="'a' of model 'iris' is taken out when it is back"):
        await registration.deregister()
    assert time.monotonic() - began < 3.0
    consul.cont()
    async with asyncio.timeout(10):
        while await consul.ask("GET", "kv/inferloom/?keys") or await consul.ask("GET", "health/service/iris"):
            await asyncio.sleep(0.1)


async def test_cancelling_a_deregistration_during_an_outage_ends_it_at_once(consul: Consul, registries: Make) -> None:
    registration = await registries().register(replica())
    await consul.kill()
    task = asyncio.create_task(registration.deregister())
    await asyncio.sleep(0.2)
    task.cancel()
    began = time.monotonic()
    await asyncio.wait({task})
    assert task.cancelled()
    assert time.monotonic() - began < 0.5


async def test_a_write_during_an_outage_names_the_address_and_the_cure(consul: Consul, registries: Make) -> None:
    registry = registries()
    await registry.start()
    await consul.kill()
    port = consul.address.rpartition(":")[2]
    line = rf"^no Consul at 127.0.0.1:{port} \(connection refused\): start one with `consul agent -dev`, or set CONSUL"
    with pytest.raises(RegistryUnavailable, match=line):
        await registry.documents.put("policy", "iris", {"retries": 1})
    with pytest.raises(RegistryUnavailable, match=line):
        await registry.register(replica())
    with pytest.raises(RegistryUnavailable, match=line):
        await registries().start(0.5)


async def test_a_frozen_consul_is_noticed_and_the_last_catalog_serves(consul: Consul, registries: Make) -> None:
    registry = registries(wait=1.0)
    await registry.start()
    await registry.register(replica())
    await eventually(registry, lambda c: "iris" in c.models)
    consul.stop()
    catalog = await eventually(registry, lambda c: not c.fresh, 10.0)
    assert "iris" in catalog.models
    assert registry.age > 1.0
    consul.cont()
    await eventually(registry, lambda c: c.fresh, 10.0)
    await until(lambda: registry.age < 3.0)


async def test_a_frozen_consul_bounds_the_start_too(consul: Consul, registries: Make) -> None:
    consul.stop()
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="does not answer in 1 s"):
        await registries().start(1.0)
    assert time.monotonic() - began < 2.0


async def test_the_snapshot_on_disk_serves_a_start_without_consul(
    consul: Consul, registries: Make, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "snapshot.json"
    writer = registries()
    await writer.register(replica("one", locality="eu/a"))
    await writer.register(replica("two"))
    first = registries(snapshot=path, token="a-secret-that-stays-in-memory")
    await first.start()
    before = await eventually(first, lambda c: len(c.models) == 2)
    await first.close()
    await consul.kill()
    confirmed = time.time() - 100
    os.utime(path, (confirmed, confirmed))
    assert "a-secret" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0

    second = registries(snapshot=path)
    await second.start()
    assert second.catalog.models == before.models
    assert not second.catalog.fresh
    assert 100.0 <= second.age < 110.0
    recorder = Recorder(second)
    await consul.restart()
    await eventually(second, lambda c: c.fresh, 10.0)
    assert second.age < 10.0
    assert all(set(catalog.models) == {"one", "two"} for catalog in await recorder.stop())


async def test_where_consul_answers_an_old_snapshot_is_not_used(registries: Make, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    writer = registries()
    gone, _ = await writer.register(replica("gone")), await writer.register(replica("here"))
    first = registries(snapshot=path)
    await first.start()
    await eventually(first, lambda c: len(c.models) == 2)
    await first.close()
    await gone.deregister()
    second = registries(snapshot=path)
    await second.start()
    assert set(second.catalog.models) == {"here"}


async def test_a_router_and_a_consul_that_are_both_started_again_forget_nothing(
    consul: Consul, registries: Make, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"
    writer = registries()
    await writer.register(replica("one"))
    first = registries(snapshot=path)
    await first.start()
    await eventually(first, lambda c: "one" in c.models)
    await first.close()
    await writer.close()
    await consul.kill()
    await consul.restart()
    second = registries(snapshot=path)
    await second.start()
    assert set(second.catalog.models) == {"one"}
    os.utime(path, (time.time() - 100, time.time() - 100))
    third = registries(snapshot=path)
    await third.start()
    assert not third.catalog.models, "an old snapshot is not believed when Consul answers"


async def test_a_change_reaches_the_disk_while_the_process_lives(registries: Make, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    registry = registries(snapshot=path)
    await registry.start()
    await registry.register(replica())
    async with asyncio.timeout(5):
        while not path.exists() or '"iris"' not in path.read_text():
            await asyncio.sleep(0.1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["snapshot.json"]


async def test_a_disk_that_cannot_be_written_harms_nothing(
    registries: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    registry = registries(snapshot=tmp_path / "file" / "snapshot.json")
    await registry.start()
    await registry.register(replica())
    await eventually(registry, lambda c: "iris" in c.models)
    await registry.close()
    assert "snapshot cannot be kept" in caplog.text
