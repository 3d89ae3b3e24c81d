"""The built wheel, in an empty environment and an empty folder."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.support.up import DATA, Home

ROOT = Path(__file__).parents[2]
MOST = 190  # MB that the installation may add


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("inferloom-*.whl"))


def test_the_wheel_has_every_part_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[1] for name in names if name.startswith("inferloom/")} >= {
        "v1",
        "mesh",
        "sidecar",
        "cli",
        "sdk",
    }
    assert not [name for name in names if not name.startswith(("inferloom/", "inferloom-"))]
    assert any(name.endswith("backends/onnxruntime/model.py") for name in names)
    assert any(name.endswith("pins/core.txt") for name in names)


def test_installed_in_an_empty_environment_it_serves_a_file_and_the_line_to_paste_works(
    wheel: Path, tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    before = megabytes(environment)
    began = time.monotonic()
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    took, added = time.monotonic() - began, megabytes(environment) - before
    print(f"pip install added {added:.0f} MB in {took:.0f} s")
    assert added <= MOST
    home = Home(tmp_path / "home", [str(environment / "bin" / "inferloom")])
    (home.here / "iris.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    with home.up("iris.onnx") as up:
        pasted = home.shell(up.paste[0])
        assert pasted.status == 0, str(pasted)
        assert "probabilities" in pasted.out
        assert up.stop() == 0
    assert home.leftovers() == ["in the current folder: iris.onnx"]


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6
