"""A Consul binary: found on this machine, or taken from Debian 11 into the user's cache.

`python -m inferloom.cli.consul_binary` does so and prints its path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar.cache import cache_folder

__all__ = ["find_binary", "obtain_binary"]

CURE = "install Consul so that `consul` is on PATH, or set CONSUL_BIN to its binary"
RELEASE = "bullseye"  # Debian 11 is the last that has Consul in its main section (1.8.7)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TIMEOUT = 300  # seconds for one apt command


def find_binary(environ: Mapping[str, str] = os.environ) -> Path | None:
    """$CONSUL_BIN, then PATH, then the cached one; None where there is none.

    Raises:
        ConfigError: CONSUL_BIN names no program.
    """
    if named := environ.get("CONSUL_BIN"):
        found = shutil.which(named, path=environ.get("PATH"))
        if found is None:
            raise ConfigError(f"CONSUL_BIN={named}: no such program")
        return Path(found)
    if found := shutil.which("consul", path=environ.get("PATH")):
        return Path(found)
    cached = _cached(environ)
    return cached if os.access(cached, os.X_OK) else None


def obtain_binary(environ: Mapping[str, str] = os.environ, say: Callable[[str], None] = lambda line: None) -> Path:
    """A binary: found, or downloaded into the cache (15 MB, some seconds).

    Args:
        say: told what takes long, before it does.

    Raises:
        ConfigError: there is none and it cannot be downloaded; the message says what to set.
    """
    found = find_binary(environ)
    if found is not None:
        return found
    if missing := [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]:
        raise ConfigError(f"no Consul here, and no {' or '.join(missing)} to download it with: {CURE}")
    say("downloading Consul 1.8.7 from Debian 11 (15 MB)")
    target = _cached(environ)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".consul-") as folder:
            _download(Path(folder), target)
    except OSError as error:
        raise ConfigError(
            f"no Consul here, and none can be kept in {target.parent} ({error.strerror}): {CURE}"
        ) from error
    return target


def _cached(environ: Mapping[str, str]) -> Path:
    return cache_folder(environ) / "consul" / "consul"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A Debian mirror that this machine's own apt uses."""

    uri: str
    signed_by: str


def _download(folder: Path, target: Path) -> None:
    """Fetch, unpack, try, and put in place at once."""
    mirrors = _mirrors()
    if not mirrors:
        raise ConfigError(f"no Consul here, and this machine's apt has no Debian mirror to take it from: {CURE}")
    failure = ""
    for number, mirror in enumerate(mirrors):
        place = folder / str(number)
        try:
            package = _package(place, mirror)
            _run(["dpkg-deb", "-x", str(package), str(place / "root")])
            binary = place / "root" / "usr" / "bin" / "consul"
            _run([str(binary), "version"])
        except _Failed as error:
            failure = str(error)
            continue
        os.replace(binary, target)
        return
    raise ConfigError(f"no Consul here, and it cannot be downloaded ({failure}): {CURE}")


def _mirrors() -> list[Mirror]:
    """The mirrors of this machine's Debian releases, in apt's order; not those of updates and security."""
    columns = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
    try:
        listed = _run(["apt-get", "indextargets", "--format", columns, "Created-By: Packages"])
    except _Failed as error:
        raise ConfigError(f"no Consul here, and apt does not name its mirrors ({error}): {CURE}") from error
    mirrors: dict[str, Mirror] = {}
    for line in listed.splitlines():
        uri, release, component, signed_by = [*line.split("|"), "", "", ""][:4]
        if component == "main" and "-" not in release and uri.rstrip("/").endswith("debian"):
            mirrors.setdefault(uri, Mirror(uri, signed_by if signed_by.startswith("/") else ""))
    return list(mirrors.values())


def _package(place: Path, mirror: Mirror) -> Path:
    """Download the package with an apt whose whole state is in `place`: the machine's own is not touched."""
    for part in ("lists/partial", "archives/partial", "packages"):
        (place / part).mkdir(parents=True)
    signed = mirror.signed_by or (str(KEYRING) if KEYRING.exists() else "")
    source = ["Types: deb", f"URIs: {mirror.uri}", f"Suites: {RELEASE}", "Components: main"]
    (place / "debian.sources").write_text("\n".join([*source, *([f"Signed-By: {signed}"] if signed else []), ""]))
    settings = {
        "Dir::State": place,
        "Dir::State::lists": place / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": place,
        "Dir::Cache::archives": place / "archives",
        "Dir::Etc::sourcelist": place / "debian.sources",
        "Dir::Etc::sourceparts": "-",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    (place / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    environ = {**os.environ, "APT_CONFIG": str(place / "apt.conf"), "LC_ALL": "C"}
    _run(["apt-get", "--quiet", "--error-on=any", "update"], env=environ)
    _run(["apt-get", "--quiet", "download", "consul"], env=environ, cwd=place / "packages")
    return next((place / "packages").glob("consul_*.deb"))


class _Failed(Exception):
    """A command did not do what it should; its last line of output."""


def _run(command: list[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise _Failed(f"{command[0]} took more than {TIMEOUT} s") from error
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise _Failed(f"{Path(command[0]).name}: {lines[-1].strip()}")
    return done.stdout


def main() -> int:
    try:
        print(obtain_binary(say=lambda line: print(line, file=sys.stderr)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
