"""A host in a real Consul."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.host import client, eventually, running_host, write_app
from tests.support.router import running_mesh

pytest_plugins = ("tests.support.consul_fixtures",)

APP = """
    from inferloom.sdk import service


    @service(idempotent=True)
    class Doubles:
        async def predict(self, x: int) -> int:
            return 2 * x

        async def embed(self, x: int) -> int:
            return x
"""


async def test_a_host_is_found_checked_and_gone_through_consul(
    registries: Callable[..., ConsulRegistry], tmp_path: Path
) -> None:
    app = write_app(tmp_path / "doubles.py", APP)
    async with running_mesh(registry=registries()) as mesh, client(mesh.address) as caller:
        async with running_host(registries(), app, watch_lag=1.0):
            await eventually(lambda: {"Doubles", "Doubles.embed"} <= mesh.router.pool.groups.keys())
            assert (await caller.infer("Doubles", {"x": 21}))["result"].tolist() == [42]
            replica = mesh.registry.catalog.models["Doubles"].replicas[0]
            assert (replica.kind, replica.repeat, replica.check) == (Kind.SERVICE, Repeat.ANY, replica.address)
            await asyncio.sleep(2.5)  # two of Consul's checks
            assert mesh.registry.catalog.models["Doubles"].replicas[0].healthy
        await eventually(lambda: not mesh.registry.catalog.models)
