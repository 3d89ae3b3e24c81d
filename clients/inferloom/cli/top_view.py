"""A frame of `inferloom top`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inferloom.cli.explain_table import table_of_recent
from inferloom.cli.models import state_and_why
from inferloom.cli.top_look import Look
from inferloom.v1 import explain_pb2, mesh_pb2

__all__ = ["frame"]

K = TypeVar("K", bound=Hashable)
Figures = Mapping[tuple[str, str], explain_pb2.ReplicaFigures]
PASSED_OVER = "passed over by Envoy: its answers failed"
WORDS = 60  # characters of a failure's reason


def frame(look: Look) -> RenderableType:
    """Models and replicas, splits, pipelines, the last failures; and what did not answer."""
    parts: list[RenderableType] = [Text(_title(look), style="bold"), _models(look)]
    if look.splits:
        parts.append(_splits(look.splits))
    parts += _pipelines(look)
    if look.recent.requests:
        parts.append(table_of_recent(look.recent, words=WORDS))
    parts += [Text(told, style="yellow") for told in dict.fromkeys(look.told)]
    return Group(*parts)


def _title(look: Look) -> str:
    count, age = len(look.models.models), look.models.age_seconds
    busy = sum(replica.load.in_flight for model in look.models.models for replica in model.replicas)
    busy += sum(figures.in_flight for figures in look.of_edges().values())
    rate = sum(look.rates.models.values()) if look.rates is not None else 0.0
    stale = f"; the catalog is {age:.0f} s old" if age > 1 else ""
    return f"mesh {look.address}: {count} names, {rate:.1f} requests/s, {busy} in flight{stale}; q quits"


def _models(look: Look) -> Table:
    table = Table(header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("replica", no_wrap=True)
    table.add_column("state")
    for heading in ("req/s", "in flight", "p50 ms", "p99 ms", "load ms", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    figures, edges = look.of_models(), look.of_edges()
    rates = look.rates.models if look.rates is not None else {}
    for model in look.models.models:
        known = figures.get(model.name)
        table.add_row(
            f"[bold]{escape(model.name)}[/]",
            f"{len(model.replicas)} {_kind(model)}",
            "",
            _rate(rates, model.name),
            str(sum(each.load.in_flight + _of(edges, model.name, each).in_flight for each in model.replicas)),
            *(
                (_ms(known.p50_ms), _ms(known.p99_ms), "", str(known.failed))
                if known is not None
                else ("-", "-", "", "-")
            ),
        )
        for replica in model.replicas:
            table.add_row("", *_replica(look, model.name, replica, _of(edges, model.name, replica)))
    return table


def _of(edges: Figures, model: str, replica: mesh_pb2.Replica) -> explain_pb2.ReplicaFigures:
    return edges.get((model, replica.id)) or explain_pb2.ReplicaFigures()


def _replica(look: Look, model: str, replica: mesh_pb2.Replica, edges: explain_pb2.ReplicaFigures) -> Iterator[str]:
    load = replica.load
    state, why = state_and_why(replica)
    health = why or state
    if why and state != "serving" and not why.startswith(state):
        health = f"{state}: {why}"
    if edges.passed_over and health == state:
        health = PASSED_OVER
    good = state == "serving" and not edges.passed_over and load.breaker in ("closed", "")
    yield escape(f"{replica.id} {', '.join(replica.versions)}".rstrip())
    yield f"[{'green' if good else 'red'}]{escape(health)}[/]"
    yield _rate(look.rates.replicas if look.rates is not None else {}, (model, replica.id))
    yield str(load.in_flight + edges.in_flight)
    yield ""
    yield ""
    yield _ms(load.latency_ms)
    yield str(load.failures + edges.failed)


def _splits(splits: list[mesh_pb2.SplitFiguresResponse]) -> Table:
    table = Table(header_style="bold")
    for heading in ("split", "arm"):
        table.add_column(heading, no_wrap=True)
    for heading in ("share", "answered", "failed", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for split in splits:
        for number, arm in enumerate(split.arms):
            ok, total = arm.codes.get("OK", 0), sum(arm.codes.values())
            table.add_row(
                escape(split.name) if number == 0 else "",
                escape(arm.arm) + ("" if arm.served else " [red](not served)[/]"),
                f"{'mirror ' if arm.mirror else ''}{100 * arm.part:.4g} %",
                str(ok),
                str(total - ok),
                _ms(1e3 * arm.latency.p50),
                _ms(1e3 * arm.latency.p99),
            )
    return table


def _pipelines(look: Look) -> Iterator[RenderableType]:
    """A line for each edge: how many requests a second go along it, and what its target does."""
    merged: dict[str, list[explain_pb2.PipelineFigures]] = {}
    for each in look.figures.pipelines:
        merged.setdefault(each.name, []).append(each)
    for name, hosts in sorted(merged.items()):
        table = Table(header_style="bold")
        table.add_column(f"pipeline {escape(name)}", no_wrap=True)
        for heading in ("req/s", "requests", "failed", "mean ms", "per batch", "late"):
            table.add_column(heading, justify="right", no_wrap=True)
        rates = look.rates.edges if look.rates is not None else {}
        for source, target in dict.fromkeys((e.source, e.target) for host in hosts for e in host.edges):
            table.add_row(f"{escape(source)} -> {escape(target)}", *_edge(hosts, rates, (name, source, target)))
        yield table


def _edge(
    hosts: list[explain_pb2.PipelineFigures], rates: Mapping[tuple[str, str, str], float], key: tuple[str, str, str]
) -> Iterator[str]:
    source, target = key[1:]
    yield _rate(rates, key)
    yield str(sum(e.requests for host in hosts for e in host.edges if (e.source, e.target) == (source, target)))
    nodes = [node for host in hosts for node in host.nodes if node.name == target]
    requests, batches = sum(node.requests for node in nodes), sum(node.batches for node in nodes)
    yield str(sum(node.failed for node in nodes)) if nodes else "-"
    yield _ms(1e3 * sum(node.seconds for node in nodes) / requests) if requests else "-"
    yield f"{requests / batches:.1f}" if batches else "-"
    yield str(sum(node.late for node in nodes) or "-")


def _kind(model: mesh_pb2.Model) -> str:
    kind = (model.replicas[0].kind if model.replicas else "") or "model"
    what = "replica" if kind == "model" else kind
    return what if len(model.replicas) == 1 else f"{what}s"


def _rate(rates: Mapping[K, float], key: K) -> str:
    return f"{rates[key]:.1f}" if key in rates else "-"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value else "-"
