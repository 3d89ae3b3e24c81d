"""Two ways at a time, in blocks of four short runs, there and back (A B B A): what the machine does meanwhile hits both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import h2load
from bench.gateway.serve import Way
from bench.machine import machine
from bench.measure import usage
from bench.paths import HOST
from bench.telemetry.report import COMPARED, Run, TelemetryReport
from bench.telemetry.serve import ways
from bench.wire import METHOD, check, framed, request

__all__ = ["measure"]

LOAD = h2load.Load("64", 4, 16)
WARM_UP = 1000  # requests
BLOCKS = 4  # of each two ways in one round
RUN = 8  # runs that fit into the seconds of a round's run


def measure(rounds: int, seconds: float, say: Callable[[str], object]) -> TelemetryReport:
    """Start everything, measure, stop everything. A run takes an eighth of `seconds`.

    Raises:
        ConfigError: Triton's runtime or Envoy is missing.
        RuntimeError: something does not answer, or wrongly.
    """
    runs: list[Run] = []
    with ways() as up, tempfile.TemporaryDirectory(prefix="inferloom-bench-") as folder:
        body = Path(folder, "body")
        body.write_bytes(framed(request()))
        sizes: dict[str, int] = {}
        for name, way in up.items():
            url = f"http://{HOST}:{way.port}{METHOD}"
            h2load.run(LOAD, WARM_UP, url, body)
            rate = h2load.run(LOAD, WARM_UP, url, body)[0].rate
            sizes[name] = max(int(rate * seconds / RUN), LOAD.in_flight)
        for block in range(rounds * BLOCKS):
            if block % BLOCKS == 0:
                say(f"telemetry: round {block // BLOCKS + 1} of {rounds}")
            for what, (way, base, _) in COMPARED.items():
                first, second = (way, base) if block % 2 else (base, way)
                there_and_back = (first, second, second, first)
                runs += [_run(what, up[name], body, sizes[name], block) for name in there_and_back]
    return TelemetryReport(runs, machine(), {"rounds": rounds, "seconds": seconds})


def _run(what: str, way: Way, body: Path, requests: int, block: int) -> Run:
    size = len(framed(check(f"{HOST}:{way.port}", lambda: True)))
    before = usage(way.pid).cpu_s
    summary, latencies = h2load.run(LOAD, requests, f"http://{HOST}:{way.port}{METHOD}", body)
    spent = usage(way.pid).cpu_s - before
    if summary.succeeded != requests or summary.data_bytes != requests * size:
        raise RuntimeError(f"{way.name}: not every call of {requests} was answered with status OK: {summary}")
    median = h2load.quantile(latencies, 0.5)
    return Run(what, way.name, block, requests, summary.rate, median * 1e6, spent / requests * 1e6)
