"""A running Ray Serve."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from bench.paths import HOST
from bench.peers.report import ONE_MODEL
from bench.peers.settings import Setting
from bench.pipelines.subjects import GRAPHS, Subject, values
from bench.processes import Process, alive, free_port, running
from bench.wire import answered, check, framed, request

__all__ = ["ASKED", "ray_serve"]

ASKED = {**GRAPHS, ONE_MODEL: 1.0}  # graph -> what it adds to its input

SIDE = Path(__file__).with_name("ray_side")
START_S = 90.0


@contextlib.contextmanager
def ray_serve(python: Path, setting: Setting, work_ms: float = 0.0) -> Iterator[tuple[int, int, dict[str, int]]]:
    """(port, process id, bytes of a framed answer by subject) once both graphs have answered rightly.

    Raises:
        RuntimeError: it does not answer, or wrongly.
    """
    port = free_port()
    argv = [str(python), str(SIDE / "app.py"), str(port), str(work_ms), setting.batching, str(setting.wait_ms)]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        env = {
            **os.environ,
            **setting.env,
            "PYTHONPATH": str(SIDE),
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": folder,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
        }
        try:
            with running(setting.name, argv, env) as process:
                yield port, process.pid, {graph: _asked(port, process, graph) for graph in ASKED}
        finally:
            _end_what_is_left(python)


def _asked(port: int, process: Process, graph: str) -> int:
    subject = Subject(f"{graph}-0", "ray", ASKED[graph])
    message = request(subject.name, values)
    reply = check(f"{HOST}:{port}", alive(process), START_S, message, lambda reply: subject.right(answered(reply)))
    return len(framed(reply))


def _end_what_is_left(python: Path) -> None:
    """Its HAProxy, and whatever else of its environment runs on: each by its id."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if any(str(python.parents[1]) in word for word in process.cmdline()):
                process.kill()
                process.wait(5)
