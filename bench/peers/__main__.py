"""python -m bench.peers: the same pipeline and the same ensemble through inferloom and through Ray Serve, on this machine.

inferloom's stages are models on Triton, each asked over gRPC; Ray's are deployments that do the same addition with numpy in
their own process, so that Ray is spared a server for models. Both get the same messages by gRPC from h2load.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from bench.machine import machine
from bench.peers.alone import INSIDE, enter, raise_loopback
from bench.peers.compare import compare
from bench.peers.draw import draw
from bench.peers.environment import REQUIREMENTS, environment
from bench.peers.report import ONE_MODEL, OURS, OURS_SINGLE, PeerReport
from bench.peers.settings import SETTINGS
from bench.pipelines.show import TITLES
from bench.pipelines.subjects import GRAPHS, LOADS
from bench.show import number
from inferloom.mesh.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results" / "peers.json"
PICTURE = ROOT / "docs" / "peers.svg"
WIDTH = 110


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m bench.peers", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--rounds", type=int, default=2, help="of all settings, inferloom after each (default 2)")
    options.add_argument("--seconds", type=float, default=2.0, help="about how long each run lasts (default 2)")
    options.add_argument("--only", metavar="TEXT", help="settings of Ray whose name is, or has, this text")
    options.add_argument("--gate", action="store_true", help="exit status 1 where a target is missed")
    return options


def ended(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    exact = [setting for setting in SETTINGS if setting.name == options.only]
    settings = exact or [setting for setting in SETTINGS if not options.only or options.only in setting.name]
    if not settings:
        parser().error(f"--only {options.only!r}: there are {', '.join(setting.name for setting in SETTINGS)}")
    if shutil.which("h2load") is None:
        parser().error("h2load is not installed: apt install nghttp2-client")
    console = Console() if Console().is_terminal else Console(width=WIDTH)
    signal.signal(signal.SIGTERM, ended)
    try:
        python = environment()
        if not os.environ.get(INSIDE):
            enter("bench.peers", arguments)
        raise_loopback()
        samples = compare(python, settings, options.rounds, options.seconds, lambda t: console.print(t, style="dim"))
    except (ConfigError, RuntimeError, ValueError, OSError, subprocess.TimeoutExpired) as error:
        console.print("\n".join([f"bench: {error}", *getattr(error, "__notes__", ())]), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    plain = frozenset({OURS_SINGLE, *(setting.name for setting in settings if not setting.batches)})
    report = PeerReport(
        samples,
        {**machine(), "ray": REQUIREMENTS[0]},
        plain,
        {"rounds": options.rounds, "seconds": options.seconds},
    )
    show(report, console)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    PICTURE.write_text(picture(report))
    console.print(f"raw samples, medians and ratios: {RESULTS}; drawn: {PICTURE}", highlight=False, soft_wrap=True)
    return 1 if options.gate and not all(target.met for target in report.targets()) else 0


def order(report: PeerReport) -> list[str]:
    return [OURS, OURS_SINGLE, *report.peers]


def show(report: PeerReport, console: Console) -> None:
    titles = {**TITLES, ONE_MODEL: "one model by gRPC, ours through the edge to a Triton"}
    for graph in titles:
        table = Table(title=f"{titles[graph]}, the tiny model; requests/s and median in ms", title_justify="left")
        table.add_column("who")
        for load in LOADS:
            table.add_column(f"{load.name} in flight", justify="right")
            table.add_column("ms", justify="right")
        for who in order(report):
            cells: list[str] = []
            for load in LOADS:
                cells.append(number(report.median(who, graph, load.name, "rate"), ",.0f"))
                cells.append(number(report.median(who, graph, load.name, "median_ms"), ".2f"))
            table.add_row(who, *cells)
        console.print(table)
    for target in report.targets():
        sign = ">=" if target.at_least else "<="
        line = f"{target.what}: {target.value:.2f} (to be {sign} {target.bound:g}): {'ok' if target.met else 'MISSED'}"
        console.print(line, highlight=False, style=None if target.met else "bold", soft_wrap=True)


def picture(report: PeerReport) -> str:
    panels = {
        TITLES[graph]: {
            who: [
                (rate, time)
                for load in LOADS
                if (rate := report.median(who, graph, load.name, "rate")) is not None
                and (time := report.median(who, graph, load.name, "median_ms")) is not None
            ]
            for who in order(report)
        }
        for graph in GRAPHS
    }
    return draw(panels, 2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
