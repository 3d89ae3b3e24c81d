"""The Dockerfiles' own steps, run without an engine, and what they leave."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inferloom.cli.build import PYTHON, build
from tests.unit.cli.test_export_values import folder

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "images" / "mesh" / "Dockerfile").read_text()
LIMIT = 300_000_000  # bytes that the image may have
BASE = 54_100_000  # of gcr.io/distroless/python3-debian12, as images/rehearse lays it out
ROLES = ("cli.router", "cli.control", "cli.edge", "cli.host", "cli.sidecar", "cli.export", "services.composer.rules")


def stages(text: str) -> list[str]:
    return re.split(r"^FROM ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]


def lines(stage: str, instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", stage, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes in /opt/inferloom, its RUN lines as they stand, but for apt-get."""
    scratch = tmp_path_factory.mktemp("image")
    stage = stages(DOCKERFILE)[0]
    (scratch / "src").mkdir()
    for copied in lines(stage, "COPY"):
        *sources, _ = copied.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, scratch / "src" / source, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, scratch / "src" / source)
    (extras,) = lines(stage, "ARG")
    prepare, *steps = lines(stage, "RUN")
    assert "-m venv --without-pip /opt/inferloom" in prepare
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", scratch / "inferloom"], check=True)
    for step in steps:
        script = step.replace("/opt/inferloom", str(scratch / "inferloom")).replace(
            "/opt/pip/bin/python", sys.executable
        )
        env = os.environ | {"EXTRAS": extras.partition("=")[2]}
        done = subprocess.run(
            ["/bin/sh", "-euc", script], cwd=scratch / "src", env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return scratch / "inferloom"


def test_the_meshs_image_is_under_300_megabytes_unpacked(environment: Path) -> None:
    size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
    assert BASE + size < LIMIT


def test_every_role_and_every_library_loads_from_what_is_left(environment: Path) -> None:
    """Stripped libraries are loaded one by one: a strip that breaks one is noticed here."""
    script = f"""
import importlib, numpy, pathlib, sys, time, zoneinfo
for name in {ROLES}:
    importlib.import_module(f"inferloom.{{name}}")
import cel, envoy_data_plane, uvicorn, opentelemetry.sdk
assert numpy.linalg.svd(numpy.eye(3))[1].tolist() == [1, 1, 1]
packages = pathlib.Path(numpy.__file__).parents[1]
for path in packages.rglob("*.cpython-*.so"):
    importlib.import_module(".".join(path.relative_to(packages).parts).split(".cpython-")[0])
print(len(sys.modules))
"""
    python = environment / "bin" / "python"
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    envoy = subprocess.run(
        [next(environment.rglob("_bin/envoy")), "--version"], capture_output=True, text=True, check=False
    )
    assert "1.39.3" in envoy.stdout


def test_the_roles_run_as_a_user_without_rights_and_without_a_shell() -> None:
    final = stages(DOCKERFILE)[-1]
    assert lines(final, "USER") == ["1000:1000"]
    assert lines(final, "RUN") == []
    assert lines(final, "ENTRYPOINT") == ['["inferloom"]']


async def test_a_services_image_installs_its_lock_apart_and_lays_code_over_the_meshs_image(tmp_path: Path) -> None:
    path = folder(tmp_path / "shop")
    (path / "requirements.lock").write_text("")
    built = await build(path, tmp_path / "out")
    text = (built.folder / "Dockerfile").read_text()
    locked, final = stages(text)
    (step,) = lines(locked, "RUN")
    (built.folder / "packages").mkdir()
    script = step.replace("/srv/packages", str(built.folder / "packages")).replace("/srv/", f"{built.folder}/")
    subprocess.run(["/bin/sh", "-euc", re.sub(r"^python", sys.executable, script)], check=True)
    copied = {line.split()[-2] for line in lines(final, "COPY") if not line.startswith("--from")}
    assert all((built.folder / source).exists() for source in copied)
    (check,) = lines(final, "RUN")
    assert check.startswith("[")  # the base has no shell
    # The lock is installed by the Python that will import it.
    assert PYTHON.startswith("python:3.11-") and PYTHON.endswith("bookworm")  # noqa: PT018
    assert "python3-debian12" in DOCKERFILE
