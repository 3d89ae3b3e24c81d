"""Runs of h2load over the subjects, in interleaved rounds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import h2load
from bench.machine import machine
from bench.measure import usage
from bench.paths import HOST
from bench.pipelines.report import PipelineReport, PipelineSample
from bench.pipelines.serve import Serving, body, serving
from bench.pipelines.subjects import KINDS, LOADS, ONE, SERVICE, Subject, pipelines, stages
from bench.wire import METHOD

__all__ = ["measure", "sample"]

LEAST = 60  # requests of a run
WARM_UP = 100


def sample(serving: Serving, subject: Subject, load: h2load.Load, seconds: float, round_: int) -> PipelineSample:
    """One run, after a warm-up that tells how many requests fill `seconds`.

    Raises:
        RuntimeError: a call failed, or was answered wrongly before the run.
    """
    answer = serving.reply_bytes(subject)
    url = f"http://{HOST}:{serving.ports[subject.way]}{METHOD}"
    with tempfile.TemporaryDirectory(prefix="inferloom-bench-") as folder:
        message = body(Path(folder), subject)
        rate = h2load.run(load, max(WARM_UP // (1 if load is not ONE else 5), load.in_flight), url, message)[0].rate
        requests = max(int(rate * seconds), LEAST if load is ONE else LEAST * 4)
        before = usage(serving.host_pid).cpu_s
        summary, latencies = h2load.run(load, requests, url, message)
        spent = usage(serving.host_pid).cpu_s - before
    if summary.succeeded != requests or summary.data_bytes != requests * answer:
        raise RuntimeError(
            f"{subject.name} ({subject.way}): not every call of {requests} was answered with status OK: {summary}"
        )
    return PipelineSample(
        name=subject.name,
        way=subject.way,
        in_flight=load.name,
        round=round_,
        requests=requests,
        rate=summary.rate,
        median_ms=h2load.quantile(latencies, 0.5) * 1e3,
        p99_ms=h2load.quantile(latencies, 0.99) * 1e3,
        host_cpu_us=0.0 if subject.way == "direct" else spent / requests * 1e6,
    )


def measure(
    rounds: int, seconds: float, say: Callable[[str], object], kinds: tuple[str, ...] = KINDS
) -> PipelineReport:
    """Start everything, measure, stop everything. The stages' own times belong to the round of what they are held against."""
    samples: list[PipelineSample] = []
    with serving(kinds) as up:
        plan = _plan(kinds)
        for round_ in range(rounds):
            say(f"pipelines: round {round_ + 1} of {rounds}")
            samples += [sample(up, subject, load, seconds, round_) for subject, load in plan]
    return PipelineReport(samples, machine(), {"rounds": rounds, "seconds": seconds})


def _plan(kinds: tuple[str, ...]) -> Sequence[tuple[Subject, h2load.Load]]:
    """Kind by kind: the stages (the first at all loads), then the graphs."""
    plan = []
    for kind in kinds:
        first, *others = stages((kind,))
        plan += [*((first, load) for load in LOADS), *((stage, ONE) for stage in others)]
        if kind == "0":
            plan += [(Subject(SERVICE, way, 1), ONE) for way in ("host", "router")]
        plan += [(subject, load) for subject in pipelines((kind,)) for load in LOADS]
    return plan
