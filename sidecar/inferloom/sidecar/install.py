"""Installs the managed Triton runtime: idempotent, atomic, one at a time.

What counts is the marker, which is written when the real server has given a known answer. Without it the environment
is made anew (pip's own cache keeps what was downloaded).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.process import Child, start
from inferloom.sidecar.cache import locked
from inferloom.sidecar.interpreter import choose
from inferloom.sidecar.known_answer import check_known_answer
from inferloom.sidecar.machine import check_platform
from inferloom.sidecar.managed import EXTRAS, ManagedRuntime, Marker, pins, runtime_folder

__all__ = ["install"]

Progress = Callable[[str], None]
STEPS = ("Collecting ", "Downloading ", "Installing collected", "Successfully installed", "Using cached ")


async def install(
    progress: Progress = lambda text: None,
    extras: Sequence[str] = (),
    *,
    clock: Clock = SYSTEM,
    environ: Mapping[str, str] = os.environ,
) -> ManagedRuntime:
    """The managed runtime with these extras, installed where it is not there yet (about 300 MB, 20 s).

    Args:
        progress: called with one line of text per step.
        extras: of "sklearn", "xgboost", "torch", "gpu".

    Raises:
        ConfigError: wrong platform, no suitable Python, no room, pip failed, or the server's answer was wrong.
    """
    for extra in extras:
        if extra not in EXTRAS:
            raise ConfigError(f"no extra {extra!r} of the Triton runtime: there are {', '.join(EXTRAS)}")
    folder = runtime_folder(environ)
    if (present := whole(folder, extras)) is not None:
        return present
    check_platform(folder)
    async with locked(folder.with_suffix(".lock"), clock, lambda: progress("waiting for another installation to end")):
        if (present := whole(folder, extras)) is not None:
            return present
        runtime = usable(folder) or await make(folder, progress)
        return await add_extras(runtime, extras, progress)


def whole(folder: Path, extras: Sequence[str]) -> ManagedRuntime | None:
    """The runtime, if it is there with these extras."""
    runtime = usable(folder)
    return runtime if runtime is not None and set(extras) <= set(runtime.extras) else None


def usable(folder: Path) -> ManagedRuntime | None:
    """The runtime, if it was finished and the Python it was made with is still there."""
    marker = Marker.read(folder)
    if marker is None:
        return None
    runtime = ManagedRuntime(folder, marker)
    return runtime if runtime.python.exists() and runtime.libpython.exists() else None


async def make(folder: Path, progress: Progress) -> ManagedRuntime:
    """A fresh environment with the core packages that has given the known answer."""
    python = await choose()
    if await asyncio.to_thread(remove, folder):
        progress("removed a half-made runtime")
    progress(f"making a virtual environment of Python {python.version}")
    await run([python.executable, "-m", "venv", *without_pip(), str(folder)], "venv", progress)
    await run(pip(folder, "install", "--no-deps", "-r", str(pins("core"))), "pip", progress)
    runtime = ManagedRuntime(folder, Marker(triton="", python=python.version, libdir=python.libdir))
    progress("starting Triton once, to check a known answer")
    marker = replace(runtime.marker, triton=await check_known_answer(runtime))
    marker.write(folder)
    progress(f"Triton {marker.triton} is ready in {folder}")
    return ManagedRuntime(folder, marker)


def remove(folder: Path) -> bool:
    """Delete the folder; False where there is none."""
    if not folder.exists():
        return False
    shutil.rmtree(folder)
    return True


async def add_extras(runtime: ManagedRuntime, extras: Sequence[str], progress: Progress) -> ManagedRuntime:
    marker, folder = runtime.marker, runtime.folder
    for extra in extras:
        if extra in marker.extras:
            continue
        again = ["--force-reinstall"] if extra in marker.pending else []
        marker = replace(marker, pending=tuple(sorted({*marker.pending, extra})))
        marker.write(folder)
        progress(f"adding {extra}")
        if extra == "gpu":
            await run(pip(folder, "uninstall", *yes(), "onnxruntime"), "pip", progress)
        held = ["-c", str(core_constraints(folder, without_onnxruntime=extra == "gpu"))]
        await run(pip(folder, "install", *again, "-r", str(pins(extra)), *held), "pip", progress)
        await check_known_answer(replace(runtime, marker=marker))
        marker = replace(
            marker,
            extras=tuple(sorted({*marker.extras, extra})),
            pending=tuple(name for name in marker.pending if name != extra),
        )
        marker.write(folder)
    return replace(runtime, marker=marker)


def core_constraints(folder: Path, *, without_onnxruntime: bool) -> Path:
    """The core's pins as constraints, so that an extra moves none of them."""
    lines = [line for line in pins("core").read_text().splitlines() if not line.startswith("#")]
    path = folder / "constraints.txt"
    path.write_text("\n".join(line for line in lines if not (without_onnxruntime and line.startswith("onnxruntime="))))
    return path


def without_pip() -> list[str]:
    """venv's option where our own pip can do the work (Debian's python3 may lack ensurepip, and it takes 3 s)."""
    return ["--without-pip"] if own_pip() or shutil.which("uv") else []


def own_pip() -> bool:
    return importlib.util.find_spec("pip") is not None


def pip(folder: Path, verb: str, *arguments: str) -> list[str]:
    """The command that works on the environment's packages: our pip, else uv, else the environment's own pip."""
    python = str(folder / "bin" / "python")
    quiet = ("--no-input", "--disable-pip-version-check")
    if own_pip():
        return [sys.executable, "-m", "pip", "--python", python, *quiet, verb, *arguments]
    if uv := shutil.which("uv"):
        return [uv, "pip", verb, "--python", python, *arguments]
    return [python, "-m", "pip", *quiet, verb, *arguments]


def yes() -> list[str]:
    return ["--yes"] if own_pip() or not shutil.which("uv") else []


async def run(argv: Sequence[str], name: str, progress: Progress) -> None:
    """Run a step to its end.

    Raises:
        ConfigError: it failed; with the line that says why.
    """

    def show(line: str) -> None:
        if line.lstrip().startswith(STEPS):
            progress(line.strip())

    # A user's settings for their own installations are not meant for this one.
    env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    child = await start(argv, env=env, name=name, on_line=show)
    try:
        code = await child.wait()
    finally:
        if child.returncode is None:
            await child.stop(1)
    if code != 0:
        said = last_error(child)
        cure = "; is there a network, and does pip reach its index?" if "No matching distribution" in said else ""
        raise ConfigError(f"the Triton runtime could not be installed: {said}{cure}")


def last_error(child: Child) -> str:
    errors = [line for line in child.tail if line.lstrip().lower().startswith("error")]
    return f"{child.name}: {errors[-1].strip()}" if errors else child.why()
