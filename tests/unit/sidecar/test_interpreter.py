"""Which Python Triton can embed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar.interpreter import Interpreter, candidates, choose, inspect


@pytest.mark.parametrize(
    ("interpreter", "trouble"),
    [
        (Interpreter("/p", "3.11", "/lib", True), ""),
        (Interpreter("/p", "3.12", "/lib", True), ""),
        (Interpreter("/p", "3.13", "/lib", True), "/p is Python 3.13"),
        (Interpreter("/p", "3.11", "", True), "/p has no libpython3.11.so: apt install libpython3.11"),
        (Interpreter("/p", "3.11", "/lib", False), "/p has no venv module: apt install python3.11-venv"),
    ],
)
def test_what_an_interpreter_lacks_is_named_with_its_package(interpreter: Interpreter, trouble: str) -> None:
    assert interpreter.trouble() == trouble


async def test_the_running_interpreter_tells_what_it_is() -> None:
    found = await inspect(sys.executable)
    assert found is not None
    assert found.version == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert sys.prefix not in found.executable, "the one outside the virtual environment"


async def test_a_shim_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n")
    shim.chmod(0o755)
    assert await inspect(str(shim)) is None
    assert await inspect(str(tmp_path / "none")) is None
    with pytest.raises(ConfigError, match=r"Python 3\.11 or 3\.12 with a shared libpython \(none found\).*apt install"):
        await choose([str(shim), str(tmp_path / "none")])


def test_every_python_on_path_is_a_candidate_and_the_running_one_the_first(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("python3.11", "python3.13"):
            (tmp_path / folder / name).touch(mode=0o755)
    found = list(candidates(f"{tmp_path}/a:{tmp_path}/b"))
    assert found == [sys.executable, f"{tmp_path}/a/python3.11", f"{tmp_path}/b/python3.11"]
