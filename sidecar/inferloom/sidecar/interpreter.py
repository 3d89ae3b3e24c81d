"""The Python that Triton embeds: 3.11 or 3.12 with a shared libpython."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inferloom.mesh.errors import ConfigError

__all__ = ["VERSIONS", "Interpreter", "candidates", "choose", "inspect"]

VERSIONS = ("3.11", "3.12")  # what numpy 1.26 has wheels for and Triton 2.51 has a stub for
PROBE_TIMEOUT = 20.0  # seconds

# Runs in the interpreter under examination; prints one JSON object.
PROBE = """
import importlib.util, json, os, sys, sysconfig
var = sysconfig.get_config_var
name = "libpython%d.%d.so.1.0" % sys.version_info[:2]
lib = var("LIBDIR") or ""
folders = [lib, os.path.join(lib, var("MULTIARCH") or ""), os.path.join(sys.base_prefix, "lib")]
found = [f for f in folders if os.path.exists(os.path.join(f, name))]
print(json.dumps({
    "executable": getattr(sys, "_base_executable", "") or sys.executable,
    "version": "%d.%d" % sys.version_info[:2],
    "libdir": found[0] if found else "",
    "venv": importlib.util.find_spec("venv") is not None,
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python outside any virtual environment."""

    executable: str
    version: str  # "3.11"
    libdir: str  # the folder of libpython3.11.so.1.0, "" where it has none
    venv: bool  # whether it can make virtual environments

    def trouble(self) -> str:
        """Why it will not do, with the cure; "" where it will."""
        if self.version not in VERSIONS:
            return f"{self.executable} is Python {self.version}"
        if not self.libdir:
            return f"{self.executable} has no libpython{self.version}.so: apt install libpython{self.version}"
        if not self.venv:
            return f"{self.executable} has no venv module: apt install python{self.version}-venv"
        return ""


def candidates(path: str | None = None) -> Iterator[str]:
    """Interpreters to look at, best first: the running one, then each python3.11 and python3.12 on PATH."""
    yield sys.executable
    folders = (path if path is not None else os.environ.get("PATH", os.defpath)).split(os.pathsep)
    for version in VERSIONS:
        for folder in folders:
            if found := shutil.which(f"python{version}", path=folder or os.curdir):
                yield found


async def inspect(executable: str) -> Interpreter | None:
    """What an interpreter says of itself; None where it does not run (a version manager's empty shim, say)."""
    try:
        process = await asyncio.create_subprocess_exec(
            executable,
            "-I",
            "-c",
            PROBE,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        output, _ = await asyncio.wait_for(process.communicate(), PROBE_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return Interpreter(**json.loads(output)) if process.returncode == 0 else None


async def choose(executables: Sequence[str] | None = None) -> Interpreter:
    """The first one that Triton can embed.

    Raises:
        ConfigError: there is none; says what each lacks.
    """
    troubles: list[str] = []
    seen: set[str] = set()
    for executable in executables if executables is not None else list(candidates()):
        found = await inspect(executable)
        if found is None or found.executable in seen:
            continue
        seen.add(found.executable)
        if not (trouble := found.trouble()):
            return found
        troubles.append(trouble)
    looked = "; ".join(troubles) or "none found"
    raise ConfigError(
        f"Triton needs Python 3.11 or 3.12 with a shared libpython ({looked}); on Debian 12: apt install libpython3.11"
    )
