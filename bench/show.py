"""The report as a table; it reads the same without colours."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.paths import PATHS
from bench.report import ALONE, BUSY, YARDSTICK, Report, ordered


def show(report: Report, console: Console) -> None:
    machine = report.machine
    names = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("cores", "cpu", "kernel"))
    console.print(
        f"{machine['cores']} cores, {machine['cpu']}, {machine['kernel']}; {names}", highlight=False, soft_wrap=True
    )
    console.print(busy(report))
    console.print(alone(report))
    for target in report.targets():
        sign = ">=" if target.at_least else "<="
        verdict = "ok" if target.met else "MISSED"
        line = f"router: {target.what}: {target.value:.2f}{target.unit} (to be {sign} {target.bound:g}): {verdict}"
        console.print(line, highlight=False, style=None if target.met else "bold")


def busy(report: Report) -> Table:
    columns = ("requests/s", "to honest", "CPU us", "to honest", "Triton CPU us", "median ms", "RSS MB")
    table = titled("64 requests in flight (4 connections x 16); CPU time per request", columns)
    for path in ordered(sample.path for sample in report.samples):
        memory = report.memory.get(path)
        table.add_row(
            PATHS[path].title,
            number(report.median(path, BUSY, "rate"), ",.0f"),
            number(report.ratio(path, YARDSTICK, BUSY, "rate"), ".2f"),
            number(report.median(path, BUSY, "hop_cpu_us") or None, ".0f"),
            number(report.ratio(path, YARDSTICK, BUSY, "hop_cpu_us") or None, ".2f"),
            number(report.median(path, BUSY, "triton_cpu_us"), ".0f"),
            number(report.median(path, BUSY, "median_us"), ".2f", 1e-3),
            f"{memory.started / 1e6:.0f} -> {memory.loaded / 1e6:.0f}" if memory else "-",
        )
    return table


def alone(report: Report) -> Table:
    columns = ("median ms", "p99 ms", "over honest", "over barest", "over direct", "CPU us")
    table = titled("one request at a time; what each path adds to the median of another, in ms", columns)
    for path in ordered(sample.path for sample in report.samples):
        table.add_row(
            PATHS[path].title,
            number(report.median(path, ALONE, "median_us"), ".3f", 1e-3),
            number(report.median(path, ALONE, "p99_us"), ".3f", 1e-3),
            *(number(report.added_ms(path, other), "+.3f") for other in ("honest", "barest", "direct")),
            number(report.median(path, ALONE, "hop_cpu_us") or None, ".0f"),
        )
    return table


def titled(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("path")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def number(value: float | None, form: str, scale: float = 1.0) -> str:
    return "-" if value is None else format(value * scale, form)
