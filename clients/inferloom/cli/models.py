"""`inferloom models`: a live table of models, replicas, health and load."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from inferloom.cli.state import find
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import RegistryUnavailable
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["show_models", "state_and_why", "table_of_models"]

MODEL = "model"  # kind of a replica that names none
EVERY = 1.0  # seconds between refreshes
STATES = {
    pb.REPLICA_STATE_STARTING: "starting",
    pb.REPLICA_STATE_SERVING: "serving",
    pb.REPLICA_STATE_DRAINING: "draining",
}
COLOURS = {"serving": "green", "starting": "yellow", "draining": "yellow"}
Rates = dict[tuple[str, str], int]


async def show_models(
    mesh: str | None,
    token: str | None,
    *,
    once: bool,
    json: bool,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> None:
    """Refresh the table until Ctrl-C; where stdout is no terminal, or with `once`, print it once.

    Raises:
        RegistryUnavailable: no mesh answers there.
    """
    state = find(mesh, token)
    metadata = (("authorization", f"Bearer {state.token}"),) if state.token else ()
    console = Console(width=None if sys.stdout.isatty() else 160)
    endpoint = Endpoint(state.address, ca=ca, cert=cert, key=key)
    async with endpoint.connect() as channel:
        stub: Any = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]

        async def ask() -> pb.ListModelsResponse:
            try:
                request = pb.ListModelsRequest(with_load=True)
                answer: pb.ListModelsResponse = await stub.ListModels(request, timeout=5, metadata=metadata)
                return answer
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise RegistryUnavailable(f"{state.address}: {error.details()}") from None
                raise RegistryUnavailable(
                    f"no mesh answers at {state.address}: start one with `inferloom up`"
                ) from None

        answer = await ask()
        if json:
            shown = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            print(json_module.dumps(shown, indent=1))
            return
        if once or not console.is_terminal:
            console.print(table_of_models(answer, {}, 0.0))
            return
        before = counts(answer)
        with Live(table_of_models(answer, {}, 0.0), console=console, auto_refresh=False, screen=False) as live:
            while True:
                await asyncio.sleep(EVERY)
                answer = await ask()
                live.update(table_of_models(answer, before, EVERY), refresh=True)
                before = counts(answer)


def state_and_why(replica: pb.Replica) -> tuple[str, str]:
    """For people: a replica that is starting and has a problem has failed, even where it is tried again."""
    if replica.state == pb.REPLICA_STATE_STARTING and replica.problem:
        return "failed", replica.problem
    return STATES.get(replica.state, "unknown"), replica.load.why or replica.problem


def counts(answer: pb.ListModelsResponse) -> Rates:
    """Requests so far by model and replica."""
    return {(m.name, r.id): r.load.requests for m in answer.models for r in m.replicas}


def table_of_models(answer: pb.ListModelsResponse, before: Rates, seconds: float) -> Table:
    """One row per replica.

    Args:
        before: counts of `seconds` ago, for the rates; empty where they are not known.
    """
    age = f", catalog {answer.age_seconds:.0f} s old" if answer.age_seconds > 1 else ""
    count = f"{len(answer.models)} model{'' if len(answer.models) == 1 else 's'}"
    table = Table(title=f"{count}{age}", title_justify="left", header_style="bold")
    for heading in ("model", "kind", "versions", "replica", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("req/s", "busy", "ms", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("health")
    for model in answer.models:
        for number, row in enumerate(_rows(model, before, seconds)):
            named = (model.name, model.replicas[0].kind or MODEL) if number == 0 else ("", "")
            table.add_row(*named, *row)
    return table


def _rows(model: pb.Model, before: Rates, seconds: float) -> Iterator[tuple[str, ...]]:
    for replica in model.replicas:
        load = replica.load
        state, why = state_and_why(replica)
        health = load.breaker or "-"
        if why and why != state:
            health = f"{health}: {why}"
        known = before.get((model.name, replica.id))
        rate = f"{(load.requests - known) / seconds:.0f}" if known is not None and seconds else "-"
        yield (
            ", ".join(replica.versions) or "-",
            f"{replica.id} :{replica.port}"
            if replica.host == "127.0.0.1"
            else f"{replica.id} {replica.host}:{replica.port}",
            f"[{COLOURS.get(state, 'red')}]{state}[/]",
            rate,
            str(load.in_flight),
            f"{load.latency_ms:.1f}" if load.latency_ms else "-",
            str(load.failures),
            f"[{'green' if health == 'closed' else 'red'}]{escape(health)}[/]",
        )
