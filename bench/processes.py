"""Starting and ending what is measured. Each process is ended by its pid, however the benchmark ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.paths import HOST, ROOT
from bench.wire import MODEL
from inferloom.mesh.process import guarded
from inferloom.sidecar.runtime import find

Process = subprocess.Popen[bytes]

STOP_S = 10.0
MODELS = Path(__file__).resolve().parent / "models"


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """The process while it runs. Where the body fails after it ended by itself, its last lines go with the error."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            guarded(argv, setpriv=shutil.which("setpriv")),
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        except Exception as error:
            if (ended := process.poll()) is not None:
                output.seek(0)
                error.add_note(f"{name} ended with {ended}: " + " | ".join(output.read().strip().split("\n")[-8:]))
            raise
        finally:
            stop(process)


def inferloom(*words: str) -> list[str]:
    """The command of this environment."""
    return [str(Path(sys.executable).with_name("inferloom")), *words]


def alive(process: Process) -> Callable[[], bool]:
    """Asks whether the process still runs."""
    return lambda: process.poll() is None


def stop(process: Process) -> None:
    """SIGTERM to the process, and SIGKILL to its whole group after `STOP_S` seconds."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def triton(repository: Path = MODELS, models: Sequence[str] = (MODEL,)) -> Iterator[tuple[Process, int]]:
    """(process, gRPC port) of a Triton that serves `models`; by default the tiny one.

    Raises:
        ConfigError: there is no Triton runtime; the message has the cure.
    """
    runtime = find()
    grpc_port = free_port()
    argv = runtime.command(
        repository=repository,
        http_port=free_port(),
        grpc_port=grpc_port,
        metrics_port=free_port(),
        extra=[f"--load-model={name}" for name in models],
    )
    with running("Triton", argv, runtime.environment()) as process:
        yield process, grpc_port
