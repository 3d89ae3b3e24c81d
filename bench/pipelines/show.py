"""The pipelines' report as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.pipelines.report import PipelineReport, ideal_rate
from bench.pipelines.subjects import GRAPHS, KINDS, LOADS, SERVICE, WAYS
from bench.show import number

__all__ = ["TITLES", "show"]

TITLES = {"three": "three stages one after another", "four": "ensemble of four, mean"}


def show(report: PipelineReport, console: Console) -> None:
    for graph in GRAPHS:
        console.print(_table(report, graph))
    added = report.added_ms(SERVICE, "host")
    console.print(
        f"a service's call, alone: {number(report.median(SERVICE, 'host', '1', 'median_ms'), '.3f')} ms, "
        f"{number(added, '+.3f')} ms beside the same work of a model on Triton",
        highlight=False,
    )
    for target in report.targets():
        sign = ">=" if target.at_least else "<="
        line = f"{target.what}: {target.value:.2f}{target.unit} (to be {sign} {target.bound:g}): "
        console.print(line + ("ok" if target.met else "MISSED"), highlight=False, style=None if target.met else "bold")


def _table(report: PipelineReport, graph: str) -> Table:
    table = Table(title=f"{TITLES[graph]}; medians over rounds", title_justify="left")
    for column in ("ms per stage", "in flight", "way"):
        table.add_column(column)
    for column in ("requests/s", "of direct", "of the work", "median ms", "added", "p99 ms", "host CPU us"):
        table.add_column(column, justify="right")
    for kind in KINDS:
        name = f"{graph}-{kind}"
        for load in LOADS:
            for way in WAYS:
                if report.median(name, way, load.name, "rate") is None:
                    continue
                table.add_row(
                    "0, single" if kind == "single" else kind,
                    load.name,
                    way,
                    number(report.median(name, way, load.name, "rate"), ",.0f"),
                    number(report.of_direct(name, way, load.name), ".2f"),
                    number(report.of_ideal(name, way, load.in_flight), ".2f") if ideal_rate(name, 1) else "",
                    number(report.median(name, way, load.name, "median_ms"), ".2f"),
                    number(report.added_ms(name, way), "+.2f") if load.in_flight == 1 else "",
                    number(report.median(name, way, load.name, "p99_ms"), ".2f"),
                    number(report.median(name, way, load.name, "host_cpu_us"), ".0f"),
                )
    return table
