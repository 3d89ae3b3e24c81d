"""Ray Serve in a virtual environment of its own, in the user's cache beside the Triton runtime."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inferloom.sidecar.cache import cache_folder

__all__ = ["REQUIREMENTS", "environment"]

RAY = "2.60"
REQUIREMENTS = (f"ray[serve]=={RAY}.*", "tritonclient[grpc]>=2.71")  # the second for the messages alone
STAMP = "installed"


def environment() -> Path:
    """The Python of that environment; made, half a gigabyte, where it is not there.

    Raises:
        RuntimeError: it cannot be installed; the last lines say why.
    """
    folder = cache_folder() / f"bench-ray-{RAY}"
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = "\n".join(REQUIREMENTS)
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"bench: installing {REQUIREMENTS[0]} into {folder} ...", flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *REQUIREMENTS],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Ray Serve cannot be installed: {' | '.join(done.stderr.strip().splitlines()[-4:])}")
    stamp.write_text(wanted)
    return python
