"""The ways to the model that are compared. A path is a name, a command and a port."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.wire import MODEL

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"

Command = Callable[[int, int], list[str]]  # (own port, Triton's gRPC port) -> command line


@dataclass(frozen=True, slots=True)
class Hop:
    """One way to the model.

    `command` is None where there is no process between the caller and Triton.
    """

    name: str
    title: str
    command: Command | None


def module(name: str) -> Command:
    return lambda port, triton: [sys.executable, "-m", name, str(port), f"{HOST}:{triton}"]


def router(port: int, triton: int) -> list[str]:
    program = str(Path(sys.executable).with_name("inferloom"))
    found = f"static:{MODEL}={HOST}:{triton}"
    return [program, "router", "--registry", found, "--grpc", f"{HOST}:{port}", "--admin", f"{HOST}:0"]


PATHS: Mapping[str, Hop] = {
    path.name: path
    for path in (
        Hop("direct", "Triton directly", None),
        Hop("barest", "barest grpc.aio proxy", module("bench.proxies.barest")),
        Hop("honest", "honest grpc.aio proxy", module("bench.proxies.honest")),
        Hop("router", "inferloom router", router),
    )
}
