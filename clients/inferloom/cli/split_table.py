"""`inferloom split NAME`: a live table of what each arm has done."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.live import Live
from rich.table import Table

from inferloom.cli.state import find
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import InvalidInput, RegistryUnavailable
from inferloom.mesh.split import Split
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["show_split", "shown_arms", "table_of_split"]

EVERY = 1.0  # seconds between refreshes
HEADINGS = ("requests", "errors", "mean ms", "p50 ms", "p99 ms", "agrees", "differs by", "not compared")


async def show_split(name: str, mesh: str | None, token: str | None, *, once: bool, json: bool) -> None:
    """Refresh the table until Ctrl-C; where stdout is no terminal, or with `once`, print it once.

    Raises:
        InvalidInput: there is no such split.
        RegistryUnavailable: no mesh answers there.
    """
    state = find(mesh, token)
    metadata = (("authorization", f"Bearer {state.token}"),) if state.token else ()
    console = Console(width=None if sys.stdout.isatty() else 160)
    async with Endpoint(state.address).connect() as channel:
        stub: Any = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]

        async def ask() -> pb.SplitFiguresResponse:
            try:
                answer: pb.SplitFiguresResponse = await stub.SplitFigures(
                    pb.SplitFiguresRequest(name=name), timeout=5, metadata=metadata
                )
                return answer
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise InvalidInput(f"{error.details()}; make one: inferloom split {name} 1=90 2=10") from None
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise RegistryUnavailable(f"{state.address}: {error.details()}") from None
                raise RegistryUnavailable(
                    f"no mesh answers at {state.address}: start one with `inferloom up`"
                ) from None

        answer = await ask()
        if json:
            shown = MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            print(json_module.dumps(_brief(shown), indent=1))
            return
        if once or not console.is_terminal:
            console.print(table_of_split(answer))
            return
        with Live(table_of_split(answer), console=console, auto_refresh=False, screen=False) as live:
            while True:
                await asyncio.sleep(EVERY)
                live.update(table_of_split(await ask()), refresh=True)


def _brief(shown: Any) -> Any:
    """Without the hundreds of buckets that quantiles are made of, which are there beside them."""
    if isinstance(shown, dict):
        return {key: _brief(value) for key, value in shown.items() if key != "buckets"}
    return [_brief(each) for each in shown] if isinstance(shown, list) else shown


def shown_arms(split: Split) -> str:
    """In words: "1 gets 90 %, 2 gets 10 %, 3 mirrors 50 %, by user"."""
    words = [
        f"{arm.name} mirrors {100 * arm.sample:.4g} % of the requests"
        if arm.mirror
        else f"{arm.name} gets {100 * arm.part:.4g} %"
        for arm in split.arms
    ]
    words += [f"by {split.by}"] if split.by else []
    words += [f"{unit} always {arm}" for unit, arm in list(split.overrides.items())[:5]]
    words += [f"and {len(split.overrides) - 5} more overrides"] if len(split.overrides) > 5 else []
    return ", ".join(words)


def table_of_split(answer: pb.SplitFiguresResponse) -> Table:
    """One row per arm."""
    by = f" by {answer.by}" if answer.by else ""
    table = Table(
        title=f"split {answer.name}{by}, document {answer.version}", title_justify="left", header_style="bold"
    )
    for heading in ("arm", "asks", "share"):
        table.add_column(heading, no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for arm in answer.arms:
        table.add_row(*_row(arm, answer.name))
    notes = [answer.problem] if answer.problem else []
    notes += [f"no figures from {', '.join(answer.unanswered)}"] if answer.unanswered else []
    table.caption = "; ".join(notes) or None
    return table


def _row(arm: pb.ArmFigures, name: str) -> Iterator[str]:
    count = sum(arm.codes.values())
    errors = {code: number for code, number in sorted(arm.codes.items()) if code != "OK"}
    yield arm.arm
    yield f"{arm.model or name}{f':{arm.version}' if arm.version else ''}{'' if arm.served else ' (not served)'}"
    yield f"{'mirror ' if arm.mirror else ''}{100 * arm.part:.4g} %"
    yield f"{count}{f' ({arm.stood_in} for others)' if arm.stood_in else ''}"
    yield f"{sum(errors.values())} ({', '.join(f'{code} {n}' for code, n in errors.items())})" if errors else "0"
    latency = arm.latency
    for seconds in (latency.sum / latency.count if latency.count else 0.0, latency.p50, latency.p99):
        yield f"{1e3 * seconds:.1f}" if latency.count else "-"
    pairs = arm.compared.agreed + arm.compared.differed
    yield f"{arm.compared.agreed / pairs:.1%} of {pairs}" if pairs else "-"
    difference = arm.compared.difference
    yield f"{difference.p50:.2g}, at most {difference.max:.2g}" if difference.count else "-"
    left = {"failed": arm.compared.failed, **arm.compared.skipped}
    yield ", ".join(f"{why} {number}" for why, number in left.items() if number) or "-"
