"""What the managed Triton runtime asks of the machine."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from pathlib import Path

from inferloom.mesh.errors import ConfigError

__all__ = ["Check", "check_platform", "gpus", "machine_checks"]

Check = tuple[str, bool, str]  # what, whether it is well, and the finding or the cure in one line

MIN_GLIBC = (2, 35)
NEEDED = 1_000_000_000  # bytes free for the runtime and pip's work


def _glibc() -> tuple[int, int] | None:
    name, _, version = (
        (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ") if sys.platform == "linux" else ("", "", "")
    )
    if name != "glibc":
        return None
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def machine_checks(folder: Path) -> list[Check]:
    """Platform, C library, setpriv and room on the disk that `folder` is on."""
    system, machine = platform.system(), platform.machine()
    right = system == "Linux" and machine == "x86_64"
    checks: list[Check] = [
        (
            "platform",
            right,
            f"{system} {machine}"
            + ("" if right else ": the managed Triton runs on Linux x86-64 only; use --triton docker or --triton-url"),
        )
    ]
    libc = _glibc()
    shown = f"glibc {libc[0]}.{libc[1]}" if libc else "no glibc"
    new_enough = libc is not None and libc >= MIN_GLIBC
    checks.append(
        (
            "C library",
            new_enough,
            shown
            + (
                ""
                if new_enough
                else ": Triton needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04); use --triton docker or --triton-url"
            ),
        )
    )
    setpriv = shutil.which("setpriv")
    checks.append(("setpriv", True, setpriv or "none (util-linux); Python takes its place"))
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    checks.append(
        (
            "disk",
            free >= NEEDED,
            f"{free / 1e9:.1f} GB free at {existing}"
            + ("" if free >= NEEDED else ": 1 GB is needed; set INFERLOOM_CACHE"),
        )
    )
    return checks


def check_platform(folder: Path) -> None:
    """Refuse a machine that cannot run the managed Triton.

    Raises:
        ConfigError: says what is wrong and what to use instead.
    """
    for what, well, text in machine_checks(folder):
        if not well:
            raise ConfigError(f"{what}: {text}")


async def gpus() -> list[str]:
    """Names of the GPUs that nvidia-smi sees; empty where there is no such program or no GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    process = await asyncio.create_subprocess_exec(
        program,
        "--query-gpu=name",
        "--format=csv,noheader",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return [line.strip() for line in output.decode().splitlines() if line.strip()] if process.returncode == 0 else []
