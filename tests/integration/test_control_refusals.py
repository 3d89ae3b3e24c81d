"""What the real Envoy does not take is found and left out; everything else goes on, and the refusal is to be seen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.route.v3 import RedirectAction, Route, RouteMatch, VirtualHost
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher

from inferloom.mesh.catalog import Catalog, Model, Replica
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.split import Split
from inferloom.mesh.xds import targets
from inferloom.mesh.xds.discovery import RDS
from inferloom.mesh.xds.resources import Compiler, Resources
from inferloom.mesh.xds.route_hosts import join, split
from tests.support.control import Rig, running_control, until

BAD = 77.0  # seconds: models with this time-out get a route that Envoy refuses
BROKEN = bytes(
    VirtualHost(
        routes=[Route(match=RouteMatch(safe_regex=RegexMatcher(regex="(")), redirect=RedirectAction(path_redirect="/"))]
    )
)


class Faulty(Compiler):
    """Compiles a certain policy to what Envoy refuses."""

    def compile(
        self,
        catalog: Catalog,
        policy: Callable[[Model], TrafficPolicy],
        splits: Mapping[str, Split],
        skip: Mapping[str, bytes | None] = {},
    ) -> Resources:
        found = super().compile(catalog, policy, splits, skip)
        rest, hosts = split(found.routes["edge"])
        for name, model in catalog.models.items():
            if policy(model).timeout == BAD and name in hosts:
                hosts[name] += BROKEN
        return replace(found, routes={"edge": join(rest, hosts)})


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "Compiler", Faulty)


async def status_command(rig: Rig) -> tuple[int, str]:
    """Exit status and output of `inferloom control status`."""
    command = (sys.executable, "-m", "inferloom.cli", "control", "status", "--control", str(rig.controls[0]))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


def quarantined(rig: Rig) -> set[str]:
    return {unit for _, unit, _ in rig.session.quarantined()}


async def bad_policy(rig: Rig, model: str) -> None:
    await rig.registry.documents.put("policy", model, {"timeout": f"{BAD:g}s"})


@pytest.mark.usefixtures("faulty")
async def test_a_policy_that_envoy_refuses_leaves_the_others_served_and_updated_and_is_to_be_seen(
    tmp_path: Path,
) -> None:
    models = [f"m{number}" for number in range(12)]
    async with running_control(tmp_path, models=models) as rig, rig.caller() as call:
        await bad_policy(rig, "m7")
        await until(lambda: quarantined(rig) == {"edge/m7"})
        assert await call("m7") == "one", "its last good form serves"
        await rig.join("later", rig.other)
        await until(lambda: "later" in rig.served())
        assert await call("later") == "two"
        code, out = await status_command(rig)
        assert code == 1
        assert "edge edge-1 refuses model 'm7' (routes): " in out
        assert "its last good form serves" in out
        assert "missing )" in out, "Envoy's own text"
        await rig.registry.documents.put("policy", "m7", {"timeout": "30s"})
        await until(lambda: quarantined(rig) == set())
        code, out = await status_command(rig)
        assert (code, "refuses" in out) == (0, False)


@pytest.mark.usefixtures("faulty")
async def test_a_new_model_that_envoy_refuses_is_answered_by_the_router(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        await bad_policy(rig, "odd")
        await rig.join("odd")
        await until(lambda: quarantined(rig) == {"edge/odd"} and rig.session.settled)
        assert await call("odd") == "router"
        assert await call("iris") == "one"
        nacks = rig.has(RDS).nacks
        await rig.join("rose")
        await until(lambda: "rose" in rig.served())
        assert rig.has(RDS).nacks == nacks, "it is not tried again while it has not changed"


@pytest.mark.usefixtures("faulty")
async def test_several_at_once_among_many(tmp_path: Path) -> None:
    async with running_control(tmp_path) as rig, rig.caller() as call:
        bad = {"m3", "m11", "m12"}
        for name in bad:
            await bad_policy(rig, name)
        for number in range(20):
            await rig.join(f"m{number}")
        await until(lambda: quarantined(rig) == {f"edge/{name}" for name in bad} and rig.session.settled)
        assert len(rig.served()) == 17
        assert [await call(name) for name in ("m0", "m3", "m19")] == ["one", "router", "one"]


async def test_a_replica_with_an_address_that_cannot_be_leaves_the_others_alone(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        odd = await rig.registry.register(Replica("odd", "a", "127.0.0.1", 70000, versions=("1",)))
        await until(lambda: quarantined(rig) == {"model/odd"} and rig.session.settled)
        assert await call("odd") == "router"
        await rig.join("iris", rig.other, "b")
        await until(lambda: rig.session.settled)
        assert {await call("iris") for _ in range(50)} == {"one", "two"}
        await odd.update(replace(odd.replica, port=rig.other.port))
        await until(lambda: "odd" in rig.served())
        assert await call("odd") == "two"


async def test_a_record_that_cannot_be_compiled_leaves_the_others_alone(tmp_path: Path) -> None:
    async with running_control(tmp_path, models=("iris",)) as rig, rig.caller() as call:
        await rig.join("odd", http_port=-1)
        await rig.join("rose")
        await until(lambda: "rose" in rig.served())
        assert [await call("rose"), await call("odd")] == ["one", "router"]
        code, out = await status_command(rig)
        assert code == 1
        assert "edge edge-1: model 'odd' not compiled" in out
