"""python -m bench: what each hop costs, in front of a tiny model on a real Triton, what telling of requests costs, and what
pipelines add to their stages.

Rounds are interleaved: each round takes every path once, at 64 requests in flight and one at a time, so that a machine
that swings treats all alike.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from bench import h2load
from bench.gateway.measure import measure as measure_gateway
from bench.gateway.report import GatewayReport
from bench.gateway.show import show as show_gateway
from bench.machine import machine
from bench.measure import usage
from bench.paths import HOST, PATHS
from bench.pipelines.measure import measure as measure_pipelines
from bench.pipelines.report import PipelineReport
from bench.pipelines.show import show as show_pipelines
from bench.processes import alive, free_port, running, triton
from bench.report import ALONE, BUSY, Memory, Report, Sample
from bench.show import show
from bench.telemetry.measure import measure as measure_telemetry
from bench.telemetry.report import TelemetryReport
from bench.telemetry.show import show as show_telemetry
from bench.wire import METHOD, check, framed, request
from inferloom.mesh.errors import ConfigError

LOADS = (h2load.Load(BUSY, 4, 16), h2load.Load(ALONE, 1, 1))
WARM_UP = 300  # requests
WIDTH = 110  # of the tables, where the output is not a terminal
RESULTS = Path(__file__).resolve().parent / "results"
PARTS = ("hops", "gateway", "telemetry", "pipelines")
MOST_PIPELINE_ROUNDS = 3  # a round of pipelines has 80 runs


@dataclass(frozen=True, slots=True)
class Subject:
    """A path that is up."""

    name: str
    url: str
    pid: int | None  # of its own process
    triton: int
    answer_bytes: int  # of one framed answer


def measure(subject: Subject, load: h2load.Load, requests: int, body: Path, round_: int) -> Sample:
    """One run of h2load.

    Raises:
        RuntimeError: a call failed.
    """
    pids = [pid for pid in (subject.pid, subject.triton) if pid is not None]
    before = {pid: usage(pid).cpu_s for pid in pids}
    summary, latencies = h2load.run(load, requests, subject.url, body)
    spent = {pid: (usage(pid).cpu_s - before[pid]) / requests * 1e6 for pid in pids}
    if summary.succeeded != requests or summary.data_bytes != requests * subject.answer_bytes:
        raise RuntimeError(f"{subject.name}: not every call of {requests} was answered with status OK: {summary}")
    return Sample(
        path=subject.name,
        load=load.name,
        round=round_,
        requests=requests,
        rate=summary.rate,
        median_us=h2load.quantile(latencies, 0.5) * 1e6,
        p99_us=h2load.quantile(latencies, 0.99) * 1e6,
        hop_cpu_us=spent[subject.pid] if subject.pid is not None else 0.0,
        triton_cpu_us=spent[subject.triton],
    )


def bench(names: Sequence[str], rounds: int, seconds: float, console: Console) -> Report:
    """Start everything, measure, stop everything."""
    with ExitStack() as stack:
        body = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferloom-bench-")), "body")
        body.write_bytes(framed(request()))
        server, triton_port = stack.enter_context(triton())
        answer = check(f"{HOST}:{triton_port}", alive(server))
        subjects: list[Subject] = []
        started: dict[str, int] = {}
        for name in names:
            port, pid, command = triton_port, None, PATHS[name].command
            if command is not None:
                port = free_port()
                process = stack.enter_context(running(name, command(port, triton_port)))
                pid = process.pid
                if check(f"{HOST}:{port}", alive(process)) != answer:
                    raise RuntimeError(f"{name} does not answer as Triton does")
                started[name] = usage(pid).resident
            subjects.append(Subject(name, f"http://{HOST}:{port}{METHOD}", pid, server.pid, len(framed(answer))))

        sizes: dict[tuple[str, str], int] = {}
        for subject in subjects:
            for load in LOADS:
                h2load.run(load, WARM_UP, subject.url, body)
                rate = h2load.run(load, WARM_UP, subject.url, body)[0].rate
                sizes[subject.name, load.name] = max(int(rate * seconds), WARM_UP)

        samples: list[Sample] = []
        for round_ in range(rounds):
            console.print(f"round {round_ + 1} of {rounds}", style="dim")
            for load in LOADS:
                samples += [measure(s, load, sizes[s.name, load.name], body, round_) for s in rotated(subjects, round_)]
        memory = {s.name: Memory(started[s.name], usage(s.pid).resident) for s in subjects if s.pid is not None}
    samples.sort(key=lambda sample: names.index(sample.path))
    return Report(samples, memory, machine(), {"rounds": rounds, "seconds": seconds})


def rotated(subjects: list[Subject], turns: int) -> list[Subject]:
    """The same, each round another one first: who comes after whom shall not matter."""
    first = turns % len(subjects)
    return subjects[first:] + subjects[:first]


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("part", nargs="*", help=f"{' or '.join(PARTS)} (default: all)")
    options.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default 5)")
    options.add_argument("--seconds", type=float, default=2.0, help="about how long each run lasts (default 2)")
    options.add_argument("--only", action="append", choices=PATHS, help="a hop to measure (repeatable; default: all)")
    options.add_argument(
        "--quick", action="store_true", help="two rounds of half a second: whether it works, not how fast"
    )
    options.add_argument("--gate", action="store_true", help="exit status 1 where a target is missed")
    return options


def ended(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    rounds, seconds = (2, 0.5) if options.quick else (options.rounds, options.seconds)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    if rounds < 1 or seconds <= 0:
        parser().error("--rounds must be at least 1 and --seconds above 0")
    if shutil.which("h2load") is None:
        parser().error("h2load is not installed: apt install nghttp2-client")
    signal.signal(signal.SIGTERM, ended)
    if unknown := set(options.part) - set(PARTS):
        parser().error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    parts = options.part or (["hops"] if options.only else PARTS)
    missed = False
    try:
        if "hops" in parts:
            names = [name for name in PATHS if not options.only or name in options.only]
            report = bench(names, rounds, seconds, console)
            show(report, console)
            missed |= kept(report, RESULTS / "latest.json", console)
        if "gateway" in parts:
            through = measure_gateway(rounds, seconds, lambda text: console.print(text, style="dim"))
            show_gateway(through, console)
            missed |= kept(through, RESULTS / "gateway.json", console)
        if "telemetry" in parts:
            told = measure_telemetry(rounds, seconds, lambda text: console.print(text, style="dim"))
            show_telemetry(told, console)
            missed |= kept(told, RESULTS / "telemetry.json", console)
        if "pipelines" in parts:
            found = measure_pipelines(
                min(rounds, MOST_PIPELINE_ROUNDS), seconds / 2, lambda text: console.print(text, style="dim")
            )
            show_pipelines(found, console)
            missed |= kept(found, RESULTS / "pipelines.json", console)
    except ConfigError as error:
        console.print(f"bench: {error}", highlight=False)
        return 2
    except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        console.print("\n".join([f"bench: {error}", *getattr(error, "__notes__", ())]), highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        return 130
    return 1 if options.gate and missed else 0


def kept(report: Report | GatewayReport | TelemetryReport | PipelineReport, path: Path, console: Console) -> bool:
    """Write everything down; whether a target was missed."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report.as_json(), indent=1) + "\n")
    console.print(f"raw samples, medians and ratios: {path}", highlight=False, soft_wrap=True)
    return not all(target.met for target in report.targets())


if __name__ == "__main__":
    sys.exit(main())
