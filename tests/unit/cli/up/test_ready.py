"""Waiting for what was declared. Only ends are tested that come without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.ready import LoadFailed, TooSlow, missing, wait_until_served
from inferloom.mesh.catalog import Model, Replica, State
from inferloom.mesh.registry.memory import MemoryRegistry

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
    await wait_until_served(registry, {"iris": SPEC}, lambda: trouble or {}, said.append, 0.0)
    return said


async def test_what_is_served_is_not_waited_for() -> None:
    assert await wait(BOTH, replace(BOTH, id="b")) == []


async def test_a_replicas_problem_ends_the_waiting() -> None:
    with pytest.raises(LoadFailed, match=r"^iris: no memory$"):
        await wait(BOTH, replace(BOTH, id="b", state=State.STARTING, problem="no memory"))


async def test_so_does_a_sidecar_that_cannot_start() -> None:
    with pytest.raises(LoadFailed, match="no Triton"):
        await wait(BOTH, trouble={"triton-0": "no Triton"})


async def test_when_the_time_is_over_it_says_what_is_missing() -> None:
    with pytest.raises(TooSlow, match="not ready after 0 s: iris 1/2"):
        await wait(BOTH)
