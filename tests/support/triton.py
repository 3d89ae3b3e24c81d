"""A real Triton on free ports, with the models of a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inferloom.sidecar import runtime
from inferloom.sidecar.ports import free_ports

__all__ = ["Triton", "running_triton", "write_model"]


@dataclass(frozen=True, slots=True)
class Triton:
    """A running server."""

    pid: int
    grpc: str  # host:port
    http: str
    log: Path
    metrics: int  # port


def write_model(repository: Path, name: str, config: str, source: str, version: int = 1) -> None:
    """A model of Triton's Python backend: its config.pbtxt (without name and backend) and its model.py."""
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\n{config}')
    (folder / "model.py").write_text(source)


@contextmanager
def running_triton(repository: Path, log: Path, *, extra: Sequence[str] = ("--load-model=*",)) -> Iterator[Triton]:
    """Start Triton, wait until it is ready, end it and all it started.

    Args:
        repository: a folder of models.
        log: where its output goes; shown where it does not start.
        extra: further options of tritonserver.
    """
    found = runtime.find()
    http_port, grpc_port, metrics_port = [each for each in free_ports(4) if f"--grpc-port={each}" not in extra][:3]
    command = found.command(
        repository=repository,
        http_port=http_port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        extra=("--exit-timeout-secs=1", *extra),
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            env=found.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(process, f"http://127.0.0.1:{http_port}/v2/health/ready", log)
        yield Triton(process.pid, f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}", log, metrics_port)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _end_group(process.pid)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, seconds: float = 60) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for this machine
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"Triton ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with opener.open(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"Triton was not ready within {seconds} s:\n{log.read_text()[-4000:]}")


def _end_group(pid: int) -> None:
    """Its Python stubs live on for seconds otherwise. The group is the one made for this server."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
