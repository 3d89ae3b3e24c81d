"""Waiting for what was declared. Only ends are tested that come without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.ready import LoadFailed, TooSlow, missing, missing_service, wait_until_served
from inferloom.cli.up.service_spec import ServiceSpec, ServiceVersion
from inferloom.mesh.catalog import Catalog, Kind, Model, Replica, State
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.tenants import GONE

FILE = Path("/models/iris.onnx")
SPEC = ModelSpec("iris", {"1": VersionSpec(FILE), "2": VersionSpec(FILE)}, 2)
BOTH = Replica("iris", "a", "h", 1, versions=("1", "2"))


def test_all_replicas_must_serve_all_versions() -> None:
    assert missing(SPEC, Model("iris", (BOTH, replace(BOTH, id="b")))) is None
    for other in (
        replace(BOTH, id="b", versions=("1",)),
        replace(BOTH, id="b", state=State.STARTING),
        replace(BOTH, id="b", healthy=False),
    ):
        found = missing(SPEC, Model("iris", (BOTH, other)))
        assert found is not None
        assert (found.what, found.why) == ("iris 1/2", "")
    found = missing(SPEC, None)
    assert found is not None
    assert found.what == "iris 0/2"


def test_a_folder_brings_its_own_versions(tmp_path: Path) -> None:
    spec = ModelSpec("iris", {"1": VersionSpec(tmp_path)}, 1)
    assert missing(spec, Model("iris", (replace(BOTH, versions=("7",)),))) is None


async def wait(*replicas: Replica, trouble: Mapping[str, str] | None = None) -> list[str]:
    registry, said = MemoryRegistry(), list[str]()
    for one in replicas:
        await registry.register(one)
    await wait_until_served(registry, {("model", "iris"): SPEC.to_json()}, lambda: trouble or {}, said.append, 0.0)
    return said


async def test_what_is_served_is_not_waited_for() -> None:
    assert await wait(BOTH, replace(BOTH, id="b")) == []


async def test_a_replicas_problem_ends_the_waiting() -> None:
    with pytest.raises(LoadFailed, match=r"^iris: no memory$"):
        await wait(BOTH, replace(BOTH, id="b", state=State.STARTING, problem="no memory"))


async def test_so_does_a_sidecar_that_cannot_start() -> None:
    with pytest.raises(LoadFailed, match="no Triton"):
        await wait(BOTH, trouble={"triton-0": "no Triton"})


async def test_one_whose_process_has_gone_is_waited_for() -> None:
    with pytest.raises(TooSlow, match="not ready after 0 s: iris 1/2;"):
        await wait(BOTH, replace(BOTH, id="b", state=State.STARTING, problem=GONE))


async def test_when_the_time_is_over_it_says_what_is_missing() -> None:
    with pytest.raises(TooSlow, match="not ready after 0 s: iris 1/2"):
        await wait(BOTH)


READ = ServiceSpec("Read", {"1": ServiceVersion(Path("/a/app.py"), 2)})
HOSTED = Replica("Read", "a", "h", 1, versions=("1",), kind=Kind.SERVICE)


def test_a_service_needs_all_its_replicas() -> None:
    found = missing_service(READ, Catalog.build([HOSTED]))
    assert found is not None
    assert found.what == "Read 1/2"
    assert missing_service(READ, Catalog.build([HOSTED, replace(HOSTED, id="b")])) is None


def test_a_service_without_a_default_method_is_known_by_the_others() -> None:
    methods = [replace(HOSTED, model="Read.one", id=key) for key in ("a", "b")]
    assert missing_service(READ, Catalog.build([*methods, replace(HOSTED, model="Reader")])) is None


def test_each_version_of_a_service_is_waited_for() -> None:
    both = replace(READ, versions={**READ.versions, "2": ServiceVersion(Path("/a/new.py"))})
    old = [HOSTED, replace(HOSTED, id="b")]
    found = missing_service(both, Catalog.build(old))
    assert found is not None
    assert found.what == "Read 0/1"
    assert missing_service(both, Catalog.build([*old, replace(HOSTED, id="c", versions=("2",))])) is None


async def test_a_services_problem_ends_the_waiting_and_names_it() -> None:
    registry = MemoryRegistry()
    await registry.register(replace(HOSTED, state=State.STARTING, problem="resource db: no such table"))
    with pytest.raises(LoadFailed, match=r"^Read: resource db: no such table$"):
        await wait_until_served(registry, {("service", "Read"): READ.to_json()}, dict, lambda text: None, 0.0)


async def test_a_service_whose_process_has_gone_is_waited_for() -> None:
    registry = MemoryRegistry()
    await registry.register(replace(HOSTED, state=State.STARTING, problem=GONE))
    with pytest.raises(TooSlow, match="not ready after 0 s: Read 0/"):
        await wait_until_served(registry, {("service", "Read"): READ.to_json()}, dict, lambda text: None, 0.0)


async def test_pipelines_are_waited_for_and_splits_are_not() -> None:
    registry = MemoryRegistry()
    wanted: dict[tuple[str, str], dict[str, object]] = {
        ("pipeline", "digits"): {"nodes": []},
        ("split", "iris"): {"arms": []},
    }
    with pytest.raises(TooSlow, match="not ready after 0 s: digits;"):
        await wait_until_served(registry, wanted, dict, lambda text: None, 0.0)
    await registry.register(Replica("digits", "a", "h", 1, versions=("1",), kind=Kind.PIPELINE))
    await wait_until_served(registry, wanted, dict, lambda text: None, 0.0)
