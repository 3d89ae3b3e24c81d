"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("inferloom", "grpcio", "protobuf", "tritonclient")


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the kernel has it, else the architecture's."""
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def machine() -> dict[str, str]:
    h2load = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "cpu": cpu_model(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "h2load": h2load.split()[-1].removeprefix("nghttp2/"),
        **{name: version(name) for name in PACKAGES},
    }
