"""Rounds: each setting of Ray Serve, and inferloom right after it, so that a machine that swings treats both alike."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench import h2load
from bench.paths import HOST
from bench.peers.ray_serve import ASKED, ray_serve
from bench.peers.report import ONE_MODEL, OURS, OURS_SINGLE, PeerSample
from bench.peers.settings import Setting
from bench.pipelines.serve import Serving, body, serving
from bench.pipelines.subjects import GRAPHS, LOADS, Subject, stages
from bench.wire import METHOD

__all__ = ["KINDS", "compare"]

KINDS = ("0", "single")

WARM_UP = 400  # requests; the Python of neither side compiles, but connections and workers are made


def compare(
    python: Path, settings: Sequence[Setting], rounds: int, seconds: float, say: Callable[[str], object]
) -> list[PeerSample]:
    """Raises RuntimeError where a side answers wrongly or a call fails."""
    samples: list[PeerSample] = []
    with serving(KINDS, "envoy") as up:
        for round_ in range(rounds):
            for setting in settings:
                turn = f"{round_}/{setting.name}"
                say(f"round {round_ + 1} of {rounds}: {setting.name}")
                with ray_serve(python, setting) as (port, _, sizes):
                    for graph in ASKED:
                        samples += _runs(setting.name, graph, f"{graph}-0", port, sizes[graph], turn, seconds)
                samples += _ours(up, turn, seconds)
    return samples


def _ours(up: Serving, turn: str, seconds: float) -> list[PeerSample]:
    found: list[PeerSample] = []
    for kind, name in zip(KINDS, (OURS, OURS_SINGLE), strict=True):
        for graph, adds in GRAPHS.items():
            size = up.reply_bytes(Subject(f"{graph}-{kind}", "host", adds))
            found += _runs(name, graph, f"{graph}-{kind}", up.ports["host"], size, turn, seconds)
    model, *_ = stages(("0",))
    size = up.reply_bytes(replace(model, way="router"))  # the mesh's own port: Envoy's
    return found + _runs(OURS, ONE_MODEL, model.name, up.ports["router"], size, turn, seconds)


def _runs(who: str, graph: str, model: str, port: int, size: int, turn: str, seconds: float) -> list[PeerSample]:
    found = []
    url = f"http://{HOST}:{port}{METHOD}"
    with tempfile.TemporaryDirectory(prefix="inferloom-bench-") as folder:
        message = body(Path(folder), Subject(model, "", 0))
        for load in LOADS:
            rate = h2load.run(load, WARM_UP // (1 if load.in_flight > 1 else 8), url, message)[0].rate
            requests = max(int(rate * seconds), 4 * load.in_flight)
            summary, latencies = h2load.run(load, requests, url, message)
            if summary.succeeded != requests or summary.data_bytes != requests * size:
                raise RuntimeError(f"{who}, {graph}: not every call of {requests} was answered rightly: {summary}")
            median = h2load.quantile(latencies, 0.5) * 1e3
            found.append(PeerSample(who, graph, load.name, turn, requests, summary.rate, median))
    return found
