"""A real Envoy on free ports, from a bootstrap given as a mapping (JSON of envoy.config.bootstrap.v3.Bootstrap)."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferloom.mesh.listen import free_port

__all__ = ["BINARY", "Envoy", "cpu_seconds", "running_envoy", "validate"]

BINARY = Path(sysconfig.get_path("scripts")) / "envoy"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for this machine


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running Envoy. The methods block for a moment: from a coroutine use `asyncio.to_thread` where that matters."""

    process: subprocess.Popen[bytes]
    admin: str  # host:port
    log: Path  # standard error: Envoy's own log
    output: Path  # standard output: access logs that are written there

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str, method: str = "GET") -> str:
        """The answer of an admin path, "/config_dump" for instance; AssertionError where it is an error."""
        request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
        try:
            with _DIRECT.open(request, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Counters and gauges by name, those that match the regular expression."""
        found = json.loads(self.get(f"/stats?format=json&filter={pattern}"))["stats"]
        return {each["name"]: each["value"] for each in found if "name" in each}

    def config_dump(self, *, endpoints: bool = False) -> dict[str, Any]:
        """What it runs: section ("clusters", "listeners", "routes", ...) -> content."""
        query = "?include_eds" if endpoints else ""
        sections = json.loads(self.get(f"/config_dump{query}"))["configs"]
        return {each["@type"].rpartition(".")[2].removesuffix("ConfigDump").lower(): each for each in sections}

    def clusters(self) -> dict[str, dict[str, Any]]:
        """Clusters with their hosts as Envoy sees them: health flags, priorities, weights."""
        found = json.loads(self.get("/clusters?format=json")).get("cluster_statuses", [])
        return {each["name"]: each for each in found}


def validate(config: Mapping[str, Any], folder: Path) -> str:
    """ "" where Envoy takes this bootstrap, else what it says."""
    path = folder / "validate.json"
    path.write_text(json.dumps(config))
    command = [str(BINARY), "--mode", "validate", "-c", str(path), "--disable-hot-restart", "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@contextmanager
def running_envoy(
    config: Mapping[str, Any], folder: Path, *, concurrency: int = 1, level: str = "warning"
) -> Iterator[Envoy]:
    """Start Envoy, wait until it is ready, end it.

    Args:
        config: the bootstrap; where it has no `admin`, one on a free port of loopback is added.
        folder: for its configuration, log and output; the log is shown where it does not start.
        concurrency: worker threads.
        level: of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    given = config.get("admin")
    port = given["address"]["socket_address"]["port_value"] if given else free_port()
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
    path, log, output = folder / "envoy.json", folder / "envoy.log", folder / "envoy.out"
    path.write_text(json.dumps({"admin": admin, **config}))
    command = ["setpriv", "--pdeathsig", "KILL", "--", str(BINARY), "-c", str(path), "--disable-hot-restart"]
    command += ["--concurrency", str(concurrency), "-l", level]
    with log.open("wb") as errors, output.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
    envoy = Envoy(process, f"127.0.0.1:{port}", log, output)
    try:
        _wait(envoy)
        yield envoy
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")


def _wait(envoy: Envoy, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if envoy.process.poll() is not None:
            raise AssertionError(f"Envoy ended with {envoy.process.returncode}:\n{envoy.log.read_text()[-4000:]}")
        try:
            with _DIRECT.open(f"http://{envoy.admin}/ready", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise AssertionError(f"Envoy was not ready within {seconds} s:\n{envoy.log.read_text()[-4000:]}")
