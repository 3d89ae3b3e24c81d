"""The gateway's report as tables."""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.table import Table

from bench.gateway.report import GatewayReport
from bench.gateway.serve import BARE
from bench.report import ordered
from bench.show import number

__all__ = ["show"]

TITLES = {
    "direct": "Triton directly",
    "bare": "a bare Envoy",
    "edge": "inferloom's edge (Envoy)",
    "router": "inferloom's router (Python)",
}


def show(report: GatewayReport, console: Console) -> None:
    table = Table(title="64 requests in flight; medians over rounds", title_justify="left")
    table.add_column("way")
    for column in ("requests/s", "to bare Envoy", "CPU us", "over bare Envoy", "median ms"):
        table.add_column(column, justify="right")
    for way in ordered(sample.way for sample in report.loaded):
        table.add_row(
            TITLES[way],
            number(report.median(way, "rate"), ",.0f"),
            number(report.ratio(way, BARE, "rate"), ".2f"),
            number(report.median(way, "cpu_us"), ".1f"),
            number(report.paired(way, BARE, "cpu_us", lambda a, b: a - b), "+.1f"),
            number(report.median(way, "median_us"), ".2f", 1e-3),
        )
    console.print(table)
    table = Table(title="one at a time, alternating calls; milliseconds", title_justify="left")
    for column in ("what", "way", "over"):
        table.add_column(column)
    for column in ("the other's median", "added"):
        table.add_column(column, justify="right")
    for what, way, over in dict.fromkeys((a.what, a.way, a.over) for a in report.added):
        of = [a for a in report.added if (a.what, a.way, a.over) == (what, way, over)]
        table.add_row(
            what,
            way,
            over,
            number(median(a.base_ms for a in of), ".3f"),
            number(report.added_ms(what, way, over), "+.3f"),
        )
    console.print(table)
    for target in report.targets():
        sign = ">=" if target.at_least else "<="
        line = f"{target.what}: {target.value:.2f}{target.unit} (to be {sign} {target.bound:g}): "
        console.print(line + ("ok" if target.met else "MISSED"), highlight=False, style=None if target.met else "bold")
