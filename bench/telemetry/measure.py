"""Many short runs by turns, there and back: a machine that swings, and one that gets slower, treat all alike."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import h2load
from bench.machine import machine
from bench.measure import usage
from bench.paths import HOST
from bench.telemetry.report import Run, TelemetryReport
from bench.telemetry.serve import Way, ways
from bench.wire import METHOD, check, framed, request

__all__ = ["measure"]

LOAD = h2load.Load("64", 4, 16)
WARM_UP = 1000  # requests
TURNS = 4  # of all ways in one round
SCRAPE = 1.0  # seconds between two fetches of metrics; Prometheus' usual 15 would miss most runs


def measure(rounds: int, seconds: float, say: Callable[[str], object]) -> TelemetryReport:
    """Start everything, measure, stop everything. A run takes a quarter of `seconds`.

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
            sizes[name] = max(int(rate * seconds / TURNS), WARM_UP)
        order = list(up)
        for turn in range(rounds * TURNS):
            if turn % TURNS == 0:
                say(f"telemetry: round {turn // TURNS + 1} of {rounds}")
            runs += [_run(up[name], body, sizes[name], turn) for name in order]
            order.reverse()
    return TelemetryReport(runs, machine(), {"rounds": rounds, "seconds": seconds})


def _run(way: Way, body: Path, requests: int, turn: int) -> Run:
    size = len(framed(check(f"{HOST}:{way.port}", lambda: True)))
    before = usage(way.pid).cpu_s
    with _scraped(way.admin):
        summary, latencies = h2load.run(LOAD, requests, f"http://{HOST}:{way.port}{METHOD}", body)
    spent = usage(way.pid).cpu_s - before
    if summary.succeeded != requests or summary.data_bytes != requests * size:
        raise RuntimeError(f"{way.name}: not every call of {requests} was answered with status OK: {summary}")
    return Run(way.name, turn, requests, summary.rate, h2load.quantile(latencies, 0.5) * 1e6, spent / requests * 1e6)


@contextlib.contextmanager
def _scraped(admin: int | None) -> Iterator[None]:
    """Somebody fetches the metrics, once at least; what that raises, this raises."""
    if admin is None:
        yield
        return
    over = threading.Event()
    failed: list[Exception] = []

    def scrape() -> None:
        try:
            while True:
                with urllib.request.urlopen(f"http://{HOST}:{admin}/metrics", timeout=10) as answer:
                    if b"inferloom_request_duration_seconds_bucket" not in answer.read():
                        raise RuntimeError("the router counts no requests")
                if over.wait(SCRAPE):
                    return
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise RuntimeError(f"metrics were not to be had: {failed[0]}") from failed[0]
