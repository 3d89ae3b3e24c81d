"""The Dockerfiles' own steps, run without an engine, and what they leave."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from inferloom.cli.build import PYTHON, build
from tests.unit.cli.test_export_values import folder

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "images" / "mesh" / "Dockerfile").read_text()
TRITON = (ROOT / "images" / "triton" / "Dockerfile").read_text()
LIMIT = 300_000_000  # bytes that the image may have
BASE = 54_100_000  # of gcr.io/distroless/python3-debian12, as images/rehearse lays it out
ROLES = ("cli.router", "cli.control", "cli.edge", "cli.host", "cli.sidecar", "cli.export", "services.composer.rules")


def stages(text: str) -> list[str]:
    return re.split(r"^FROM ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]


def lines(stage: str, instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.*)$", stage, flags=re.MULTILINE)


def copied(stage: str, scratch: Path) -> None:
    """What a stage copies out of the repository, with `scratch` in place of the image's root; its first folder is /src."""
    for line in lines(stage, "COPY"):
        *sources, target = line.split()
        for source in sources:
            place = scratch / (target if target.startswith("/") else f"/src/{target}").lstrip("/")
            if (ROOT / source).is_dir():
                place = place / source if target == "./" else place
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place = place / Path(source).name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


def run(script: str, cwd: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["/bin/sh", "-euc", script], cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes in /opt/inferloom, its RUN lines as they stand, but for apt-get."""
    scratch = tmp_path_factory.mktemp("image")
    stage = stages(DOCKERFILE)[0]
    copied(stage, scratch)
    (extras,) = lines(stage, "ARG")
    prepare, *steps = lines(stage, "RUN")
    assert "-m venv --without-pip /opt/inferloom" in prepare
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", scratch / "inferloom"], check=True)
    for step in steps:
        script = step.replace("/opt/inferloom", str(scratch / "inferloom")).replace(
            "/opt/pip/bin/python", sys.executable
        )
        run(script, scratch / "src", {"EXTRAS": extras.partition("=")[2]})
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


def test_tritons_image_has_a_command_that_finds_the_mesh_where_no_other_python_does(
    environment: Path, tmp_path: Path
) -> None:
    """Its lines as they stand, but for the mesh's dependencies: they are those of `environment`, with the same pins."""
    (stage,) = stages(TRITON)[-1:]
    copied(stage, tmp_path)
    (step,) = lines(stage, "RUN")
    command, target = tmp_path / "usr/local/bin/inferloom", tmp_path / "opt/inferloom"
    for inside in ("/src", "/opt/inferloom", "/usr/local/bin"):
        step = re.sub(rf"(?<=[ \"]){inside}\b", f"{tmp_path}{inside}", step)
    step = step.replace("python3 -m pip install", f"{sys.executable} -m pip install --no-deps")
    said = run(step, tmp_path, {})
    assert "does not provide the extra" not in said
    assert not (tmp_path / "src").exists()
    (installed,) = environment.glob("lib/python*/site-packages")
    for each in installed.iterdir():
        if not (target / each.name).exists():
            (target / each.name).symlink_to(each)

    command.write_text(command.read_text().replace("/opt/inferloom", str(target)))
    clean = {"HOME": str(tmp_path), "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin"}
    asked = ["sidecar", "--triton", "path", "--repository", str(tmp_path), "--registry", "consul://127.0.0.1:1"]
    assert lines(stage, "ENTRYPOINT") == ['["inferloom", "sidecar"]']
    done = subprocess.run([command, *asked], env=clean, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition(" (")[0]) == (3, "inferloom: no Consul at 127.0.0.1:1"), done.stderr
    alone = subprocess.run(
        ["python3", "-c", "import inferloom"], env=clean, capture_output=True, text=True, check=False
    )
    assert "No module named 'inferloom'" in alone.stderr
