"""Installing the managed Triton runtime, really, into an empty cache."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar import managed
from inferloom.sidecar.install import install


async def test_two_installations_at_once_make_one_runtime_out_of_a_half_made_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERLOOM_CACHE", str(tmp_path))
    folder = managed.runtime_folder()
    (folder / "bin").mkdir(parents=True)  # somebody was interrupted
    first: list[str] = []
    second: list[str] = []
    with pytest.raises(ConfigError, match="not installed: inferloom triton install"):
        managed.find()
    one, two = await asyncio.gather(install(first.append), install(second.append))
    assert one == two == managed.find()
    assert (one.version, one.numpy, one.extras) == ("2.51.0", "1.26.4", ())
    waited, worked = sorted((first, second), key=len)
    assert waited == ["waiting for another installation to end"]
    assert "removed a half-made runtime" in worked
    assert any(line.startswith("Successfully installed") for line in worked)
    assert worked[-1] == f"Triton 2.51.0 is ready in {folder}"
    again: list[str] = []
    assert await install(again.append) == one
    assert again == []
    assert all(well for _, well, _ in await one.checks())


async def test_an_extra_that_is_not_known_is_named() -> None:
    with pytest.raises(ConfigError, match="no extra 'skleran' of the Triton runtime: there are sklearn"):
        await install(extras=("skleran",))
