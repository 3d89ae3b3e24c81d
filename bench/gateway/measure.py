"""Interleaved rounds: each way loaded by h2load, then pairs of ways asked by turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import h2load
from bench.gateway.paired import MIB, added, asking, wide
from bench.gateway.report import Added, GatewayReport, Loaded
from bench.gateway.serve import BARE, DIRECT, EDGE, ROUTER, WIDE, Way, gateway
from bench.gateway.typed import typed
from bench.machine import machine
from bench.measure import usage
from bench.paths import HOST
from bench.wire import METHOD, MODEL, check, framed, request

__all__ = ["measure"]

LOAD = h2load.Load("64", 4, 16)
WARM_UP = 1000  # requests
ALONE = 400  # alternating calls of a round
LARGE = {"1 MiB": (MIB, 60), "10 MiB": (10 * MIB, 16)}  # what: (bytes, calls)
PAIRS = ((BARE, DIRECT), (EDGE, DIRECT), (EDGE, BARE))


def measure(rounds: int, seconds: float, say: Callable[[str], object]) -> GatewayReport:
    """Start everything, measure, stop everything.

    Raises:
        ConfigError: Triton's runtime or Envoy is missing.
        RuntimeError: something does not answer, or wrongly.
    """
    loaded: list[Loaded] = []
    found: list[Added] = []
    with gateway() as ways, tempfile.TemporaryDirectory(prefix="inferloom-bench-") as folder:
        body = Path(folder, "body")
        body.write_bytes(framed(request()))
        names = list(ways)
        for round_ in range(rounds):
            say(f"gateway: round {round_ + 1} of {rounds}")
            first = round_ % len(names)
            loaded += [_loaded(ways[name], body, seconds, round_) for name in names[first:] + names[:first]]
            found += _alone(ways, round_)
    return GatewayReport(loaded, found, machine(), {"rounds": rounds, "seconds": seconds})


def _loaded(way: Way, body: Path, seconds: float, round_: int) -> Loaded:
    url = f"http://{HOST}:{way.port}{METHOD}"
    size = len(framed(check(f"{HOST}:{way.port}", lambda: True)))
    rate = h2load.run(LOAD, WARM_UP, url, body)[0].rate
    requests = max(int(rate * seconds), WARM_UP)
    before = usage(way.pid).cpu_s
    summary, latencies = h2load.run(LOAD, requests, url, body)
    spent = usage(way.pid).cpu_s - before
    if summary.succeeded != requests or summary.data_bytes != requests * size:
        raise RuntimeError(f"{way.name}: not every call of {requests} was answered with status OK: {summary}")
    median = h2load.quantile(latencies, 0.5)
    return Loaded(way.name, round_, requests, summary.rate, median * 1e6, spent / requests * 1e6)


def _alone(ways: Mapping[str, Way], round_: int) -> list[Added]:
    ports = {name: way.port for name, way in ways.items()}
    found = []
    with asking(ports, request()) as asks:
        for way, over in PAIRS:
            base, more = added(asks[over], asks[way], ALONE)
            found.append(Added("a tiny call", over, way, round_, base, more))
    for what, (size, calls) in LARGE.items():
        with asking(ports, wide(WIDE, size)) as asks:
            for way in (BARE, EDGE):
                base, more = added(asks[DIRECT], asks[way], calls)
                found.append(Added(what, DIRECT, way, round_, base, more))
    for what, model, size, calls in (("a typed call", MODEL, 16, ALONE), ("1 MiB, typed", WIDE, MIB, 60)):
        with typed(ports[ROUTER], model, size) as (plain, stub):
            base, more = added(plain, stub, calls)
            found.append(Added(what, ROUTER, ROUTER, round_, base, more))
    return found
