"""`inferloom doctor`: what works on this machine, and what to install."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.util import find_spec

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from inferloom.cli.consul_binary import find_binary
from inferloom.cli.envoy import find_envoy, version_of
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.version import __version__
from inferloom.sidecar.doctor import triton_checks
from inferloom.sidecar.machine import Check

__all__ = ["run_doctor"]


async def run_doctor() -> bool:
    """Print the table. True where `inferloom up` works here."""
    needed = await triton_checks()
    table = Table(title=f"inferloom {__version__}, Python {platform.python_version()}", title_justify="left")
    for heading in ("", "what", "where it is, or what to do"):
        table.add_column(heading, overflow="fold")
    for name, ok, text in needed:
        table.add_row("[green]ok[/]" if ok else "[red]no[/]", name, escape(text))
    for name, ok, text in await _optional():
        table.add_row("[green]ok[/]" if ok else "[yellow]--[/]", f"{name} (optional)", escape(text))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return all(ok for _, ok, _ in needed)


async def _optional() -> list[Check]:
    consul = find_binary(os.environ)
    docker = shutil.which("docker")
    tracing = find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None
    return [
        ("Consul", consul is not None, str(consul or "set CONSUL_BIN, or let `up --registry consul` fetch it")),
        await _envoy(),
        _extra("envoy_data_plane", "edge", "the control plane of gateway: envoy"),
        ("OpenTelemetry", tracing, "installed" if tracing else "pip install 'inferloom[tracing]'"),
        _extra("uvicorn", "asgi", "services with asgi=, as of FastAPI"),
        _extra("cel", "rules", "routes by rules"),
        ("Docker, for --triton docker", docker is not None, docker or "not on PATH"),
    ]


async def _envoy() -> Check:
    name = "Envoy, for gateway: envoy"
    try:
        program = find_envoy()
        version = await version_of(program)
    except ConfigError as error:
        return name, False, str(error)
    return name, True, f"{version}, {program}"


def _extra(module: str, extra: str, what: str) -> Check:
    there = find_spec(module) is not None
    return f"{module}, for {what}", there, "installed" if there else f"pip install 'inferloom[{extra}]'"
