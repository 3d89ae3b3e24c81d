"""`inferloom control`: the control plane of the edges, and the one process of a machine that watches Consul."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import grpc.aio
from rich.console import Console
from rich.table import Table

from inferloom.cli.registry import open_registry
from inferloom.cli.signals import stop_requested
from inferloom.cli.state import find
from inferloom.mesh.admin import Admin
from inferloom.mesh.errors import ConfigError, RegistryUnavailable
from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.registry_metrics import registry_metrics
from inferloom.mesh.router.security import read_token
from inferloom.mesh.telemetry.tracing import configured_endpoint
from inferloom.mesh.telemetry.tracing_sampling import sampler_from_environment
from inferloom.v1 import control_pb2 as pb
from inferloom.v1 import control_pb2_grpc

__all__ = ["run_control", "show_status", "status_table"]

DEFAULT = "127.0.0.1:9091"
PATIENCE = 5.0  # seconds
WIDE = 1000  # columns
DUMPED = "Proto constraint validation failed"


def otlp_address(given: str) -> str:
    """HOST:PORT that edges send their traces to: what was given, else of $OTEL_EXPORTER_OTLP_ENDPOINT; "": none.

    Args:
        given: "off": none whatever the environment says.

    Raises:
        ConfigError: it is no address, or one that needs TLS, which the edge does not do there.
    """
    if given == "off":
        return ""
    at = given or configured_endpoint()
    if not at:
        return ""
    if at.startswith("https://"):
        raise ConfigError(f"--otlp: {at} needs TLS: name a receiver on this network, or off")
    return str(parse_address(at.removeprefix("http://").rstrip("/"), "--otlp"))


async def run_control(
    address: str,
    admin: str,
    registry: str,
    *,
    router: str,
    router_http: str,
    token_file: Path | None = None,
    write_token_file: Path | None = None,
    zone: str = "",
    otlp: str = "",
) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigError: an option is wrong, a port in use, or envoy-data-plane is not installed.
        RegistryUnavailable: the registry does not answer and no earlier snapshot is kept.
    """
    from inferloom.mesh.xds.control import ControlPlane, ControlSettings
    from inferloom.mesh.xds.edge_settings import EdgeSettings

    token = read_token(token_file) if token_file else None
    write_token = read_token(write_token_file, "--write-token-file") if write_token_file else None
    settings = ControlSettings(
        address=parse_address(address, "--grpc"),
        edge=EdgeSettings(
            router=str(parse_address(router, "--router")),
            http=str(parse_address(router_http, "--router-http")),
            tokens=tuple(each for each in (token, write_token) if each) if token else (),
            zone=zone,
            otlp=otlp_address(otlp),
            trace_ratio=sampler_from_environment().ratio,
        ),
        write_token=write_token or token,
    )
    stop = stop_requested()
    source = open_registry(registry, control="")
    plane = ControlPlane(source, settings)
    starting = ["the registry has not answered yet"]
    config = {"grpc": address, "registry": registry, "router": router, "router_http": router_http, "zone": zone}
    face = Admin(
        "control",
        ready=lambda: starting[0] if starting else "",
        catalog=lambda: source.catalog,
        config=lambda: config,
        collect=lambda: (*plane.collect(), *registry_metrics(source, {})),
    )
    try:
        where = await face.start(parse_address(admin, "--admin"))
        await source.start()
        listens = await plane.start()
        starting.clear()
        print(f"ready grpc={listens} admin={where}", flush=True)
        await stop.wait()
        starting.append("ending")
    finally:
        await plane.close()
        await source.close()
        await face.close()


async def show_status(control: str | None, mesh: str | None = None) -> bool:
    """Print what a control plane knows of its edges. False where one of them refuses something.

    Args:
        control: HOST:PORT; None: of the mesh that is meant, else the default.

    Raises:
        ConfigError: this is no address, or several meshes run here and none is named.
        RegistryUnavailable: no control plane answers there.
    """
    where = str(parse_address(control or find(mesh).control or DEFAULT, "--control"))
    async with grpc.aio.insecure_channel(where, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub: Any = control_pb2_grpc.ControlServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            status = await stub.Status(pb.StatusRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            raise RegistryUnavailable(
                f"no control plane answers at {where} ({error.code().name}): start one with `inferloom control`"
            ) from None
    # Rows are cut to a terminal's width, and nowhere else.
    console = Console(width=None if sys.stdout.isatty() else WIDE, soft_wrap=True)
    age = "" if status.fresh else f", as it was {status.age_seconds:.0f} s ago: the registry does not answer"
    console.print(f"control {where}, {_many(len(status.edges), 'edge')}, {_many(status.models, 'model')}{age}")
    if status.edges:
        console.print(status_table(status))
    found = list(problems(status))
    for line in found:
        console.print(line, markup=False, highlight=False)
    return not found


def status_table(status: pb.StatusResponse) -> Table:
    """A row for each edge and type."""
    table = Table(box=None, pad_edge=False)
    for column in ("EDGE", "ZONE", "TYPE", "RESOURCES", "VERSION", "ACKED", "REFUSED", "STATE"):
        table.add_column(column, justify="right" if column in ("RESOURCES", "ACKED", "REFUSED") else "left")
    for edge in status.edges:
        for number, kind in enumerate(edge.types):
            state = "waits for its answer" if kind.waiting else "in force"
            if any(each.type == kind.type for each in edge.refused):
                state += ", without what it refuses"
            first = (edge.node, edge.zone) if not number else ("", "")
            counts = (str(kind.resources), kind.acked_version, str(kind.acks), str(kind.nacks))
            table.add_row(*first, kind.type, *counts, state)
    return table


def problems(status: pb.StatusResponse) -> list[str]:
    """What is refused or not in force, a line each."""
    lines = []
    for edge in status.edges:
        if edge.problem:
            lines.append(f"edge {edge.node}: {edge.problem}")
        for each in edge.refused:
            what = f"model '{each.model}' ({each.type})" if each.model else f"{each.type} '{each.resource}'"
            instead = "its last good form serves" if each.serves_last else "the router answers for it"
            lines.append(f"edge {edge.node} refuses {what}: {_short(each.why)}; {instead}")
    lines += [f"{each.kind} '{each.name}' is not in force: {each.why}" for each in status.problems]
    return lines


def _short(why: str) -> str:
    """On a line, less the dump of the whole message that Envoy puts before what it finds wrong with it."""
    text = " ".join(why.split())
    return text[max(0, text.find(DUMPED)) :][:300]


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
