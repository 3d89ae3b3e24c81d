"""What `inferloom doctor` says of Triton."""

from __future__ import annotations

from pathlib import Path

from inferloom.sidecar.doctor import triton_checks


async def test_without_a_runtime_the_machine_and_its_pythons_are_looked_at(tmp_path: Path) -> None:
    checks = await triton_checks({"INFERLOOM_CACHE": str(tmp_path / "none"), "PATH": str(tmp_path)})
    found = {what: (well, text) for what, well, text in checks}
    assert found["Triton"] == (False, "the Triton runtime is not installed: inferloom triton install")
    assert {"platform", "C library", "setpriv", "disk", "libpython"} < found.keys()
    assert not any("\n" in text for _, text in found.values())
    assert not (tmp_path / "none").exists(), "looking changes nothing"
