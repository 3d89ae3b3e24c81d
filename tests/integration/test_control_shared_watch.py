"""One watcher of Consul per machine: a router follows the control process, and Consul itself while that is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.registry.base import Documents
from inferloom.mesh.registry.consul import ConsulRegistry
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.registry.shared_watch import SharedWatch
from inferloom.mesh.xds.control import ControlPlane, ControlSettings
from tests.support.consul import Consul, eventually, replica
from tests.support.documents_contract import DocumentsContract
from tests.support.edge import Control, Role

pytest_plugins = ("tests.support.consul_fixtures",)

Make = Callable[..., ConsulRegistry]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("INFERLOOM_CONTROL", raising=False)


class Router(Role):
    """A router that has a control process."""

    def __init__(self, consul: Consul, control: Control) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(
            *("router", "--registry", f"consul://{consul.address}", "--control", control.address),
            *("--grpc", self.address, "--admin", "127.0.0.1:0"),
        )


@pytest.fixture
async def control(consul: Consul) -> AsyncIterator[Control]:
    found = Control(f"consul://{consul.address}", "127.0.0.1:1", "127.0.0.1:2")
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def router(consul: Consul, control: Control) -> AsyncIterator[Router]:
    found = Router(consul, control)
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def seen(router: Router) -> AsyncIterator[RemoteRegistry]:
    """What the router knows."""
    found = RemoteRegistry(router.address)
    await found.start()
    yield found
    await found.close()


def connections(process: Role, consul: Consul) -> int:
    """To Consul, of a process; each blocking query has one of its own."""
    port = int(consul.address.rpartition(":")[2])
    found = psutil.Process(process.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.raddr.port == port for each in found)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


def has(*models: str) -> Callable[[Catalog], bool]:
    return lambda catalog: catalog.fresh and set(models) <= set(catalog.models)


async def test_through_the_control_processs_death_and_return_the_router_sees_every_change(
    consul: Consul, control: Control, router: Router, seen: RemoteRegistry, registries: Make
) -> None:
    other = registries()
    iris = await other.register(replica("iris"))
    await eventually(seen, has("iris"))
    assert connections(router, consul) == 0, "no blocking query of its own"
    assert connections(control, consul) >= 2
    sizes: set[int] = set()

    async def look() -> None:
        async for catalog in seen.watch():
            sizes.add(len(catalog.models))

    looking = asyncio.create_task(look())
    await control.kill()
    await other.register(replica("rose"))
    await other.documents.put("split", "iris", {"arms": [{"name": "1", "share": 100}]})
    await eventually(seen, has("iris", "rose"), 8.0)
    assert connections(router, consul) >= 2
    await control.start()
    await until(lambda: connections(router, consul) == 0)
    await other.register(replica("lily"))
    await eventually(seen, has("iris", "rose", "lily"))
    await iris.deregister()
    await eventually(seen, lambda catalog: "iris" not in catalog.models)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert min(sizes) >= 1, "it was never empty"


async def test_a_router_starts_without_its_control_process(consul: Consul, registries: Make) -> None:
    await registries().register(replica("iris"))
    alone = Router(consul, Control(f"consul://{consul.address}", "127.0.0.1:1", "127.0.0.1:2"))
    await alone.start()
    try:
        seen = RemoteRegistry(alone.address)
        await seen.start()
        try:
            await eventually(seen, has("iris"))
        finally:
            await seen.close()
        assert connections(alone, consul) >= 2
    finally:
        await alone.stop()


class TestSharedDocuments(DocumentsContract):
    """Written to Consul, watched at the control process."""

    @pytest.fixture
    async def shared(self, consul: Consul) -> AsyncIterator[SharedWatch]:
        def own() -> ConsulRegistry:
            return ConsulRegistry(consul.address, snapshot=None)

        watched = own()
        await watched.start()
        plane = ControlPlane(watched, ControlSettings(address=Address("127.0.0.1", 0)))
        address = str(await plane.start())
        found = SharedWatch(own(), lambda: RemoteRegistry(address), own)
        await found.start()
        yield found
        assert found.shared
        await found.close()
        await plane.close()
        await watched.close()

    @pytest.fixture
    def documents(self, shared: SharedWatch) -> Documents:
        return shared.documents

    @pytest.fixture
    def others(self, registries: Make) -> Documents:
        return registries().documents
