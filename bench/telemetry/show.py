"""What telling of requests costs, as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.report import ordered
from bench.show import number
from bench.telemetry.report import COMPARED, TelemetryReport
from bench.telemetry.serve import EDGE, EDGE_TRACED, ROUTER, TRACED, TWIN, UNCOUNTED

__all__ = ["show"]

TITLES = {
    ROUTER: "router",
    TWIN: "the same once more",
    TRACED: "traces, 1 % of them exported",
    UNCOUNTED: "no metrics counted",
    EDGE: "edge",
    EDGE_TRACED: "edge, traces of 1 %",
}


def show(report: TelemetryReport, console: Console) -> None:
    table = Table(title="64 requests in flight; medians over runs", title_justify="left")
    table.add_column("way")
    for column in ("requests/s", "CPU us", "median ms"):
        table.add_column(column, justify="right")
    for way in ordered(run.way for run in report.runs):
        table.add_row(
            TITLES[way],
            number(report.median(way, "rate"), ",.0f"),
            number(report.median(way, "cpu_us"), ".1f"),
            number(report.median(way, "median_us"), ".2f", 1e-3),
        )
    console.print(table)
    table = Table(title="what it takes; median over blocks of four neighbouring runs", title_justify="left")
    table.add_column("what")
    for column in ("of the requests/s", "more CPU"):
        table.add_column(column, justify="right")
    for what in COMPARED:
        table.add_row(
            what,
            number(report.taken(what, "rate"), "+.1f", 100) + " %",
            number(report.taken(what, "cpu_us"), "+.1f", 100) + " %",
        )
    console.print(table)
    for target in report.targets():
        line = f"{target.what}: {target.value:.1f}{target.unit} (to be <= {target.bound:g}): "
        console.print(line + ("ok" if target.met else "MISSED"), highlight=False, style=None if target.met else "bold")
