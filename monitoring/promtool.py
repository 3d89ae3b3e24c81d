"""Prometheus' promtool: found on this machine, or taken out of Debian's package into the user's cache. No service is started.

`python -m monitoring.promtool` does so and prints its path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar.cache import cache_folder

__all__ = ["obtain_promtool"]

CURE = "install Prometheus so that `promtool` is on PATH, or set PROMTOOL to it"
TIMEOUT = 300  # seconds for one command


def obtain_promtool(environ: Mapping[str, str] = os.environ) -> Path:
    """$PROMTOOL, then PATH, then the cached one, which is downloaded (20 MB, some seconds) where it is not there.

    Raises:
        ConfigError: there is none and it cannot be downloaded; the message says what to set.
    """
    if named := environ.get("PROMTOOL"):
        if (found := shutil.which(named, path=environ.get("PATH"))) is None:
            raise ConfigError(f"PROMTOOL={named}: no such program")
        return Path(found)
    if found := shutil.which("promtool", path=environ.get("PATH")):
        return Path(found)
    cached = cache_folder(environ) / "prometheus" / "promtool"
    if not os.access(cached, os.X_OK):
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".promtool-") as folder:
            _download(Path(folder), cached)
    return cached


def _download(folder: Path, target: Path) -> None:
    """With an apt whose whole state is in `folder`: the machine's own is not touched."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    apt = ["apt-get", "-o", f"Dir::State={folder}", "-o", f"Dir::State::lists={folder / 'lists'}"]
    apt += ["-o", f"Dir::Cache={folder}", "-o", f"Dir::Cache::archives={folder / 'archives'}"]
    apt += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-q"]
    try:
        _run([*apt, "update"], folder)
        _run([*apt, "download", "prometheus"], folder)
        package = next(folder.glob("prometheus_*.deb"))
        _run(["dpkg-deb", "-x", str(package), str(folder / "root")], folder)
        binary = folder / "root" / "usr" / "bin" / "promtool"
        _run([str(binary), "--version"], folder)
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        raise ConfigError(f"no promtool here, and it cannot be downloaded ({error}): {CURE}") from None
    os.replace(binary, target)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT, check=True)


def main() -> int:
    try:
        print(obtain_promtool())
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
