"""One request, told line by line."""

from __future__ import annotations

import time
from collections.abc import Iterator

from inferloom.cli.explain_cures import cures
from inferloom.v1 import explain_pb2 as pb

__all__ = ["story"]

EDGE = "edge "  # what the processes of edges begin with
KINDS = {"failed": "it failed", "slow": "it was slow", "asked": "it asked to be explained"}
LAYERS = {  # of a router, and of an edge
    "admission": "admission to the router",
    "split": "choosing an arm",
    "retry": "choosing replicas, and waiting before attempts",
    "attempt": "attempts at replicas",
    "before": "reading the request, and attempts before the last",
    "replica": "the last attempt, until the answer's first byte",
    "after": "sending the answer",
}


def story(told: pb.Explanation) -> list[str]:
    """Lines for people; the last say what may help."""
    lines = [*_head(told), ""]
    lines += [f"  {line}" for line in _course(told)]
    lines += [f"    passed over {each.replica}: {each.why}" for each in told.passed_over]
    if told.layers:
        lines += ["", "  where the time went:"]
        lines += [
            f"    {told.layers[name]:10.2f} ms  {text}" for name, text in LAYERS.items() if told.layers[name] >= 0.005
        ]
    for inside in _insides(told):
        kind = "pipeline" if inside.steps else "service"
        lines += ["", f"  inside the {kind} {inside.model}, on {inside.process}: {inside.code}, {inside.ms:.1f} ms"]
        lines += [f"    {line}" for line in _course(inside)]
    advice = cures(told)
    if advice:
        lines += ["", *(f"  -> {each}" for each in advice)]
    if told.cut:
        lines += ["", "  (some of it was left out for want of room)"]
    return lines


def _head(told: pb.Explanation) -> Iterator[str]:
    version = f" version {told.version}" if told.version else ""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.time))
    yield f"{told.request_id}: {told.model}{version} ({told.method or 'request'}), {told.code} after {told.ms:.1f} ms"
    yield f"  began {at}; kept because {KINDS.get(told.kind, told.kind)}; told by {told.process}"
    if told.message:
        yield f"  error: {told.message}"
    if told.slow_over_ms:
        yield f"  slow is what takes more than {told.slow_over_ms:.1f} ms"
    if told.trace_id:
        yield f"  trace {told.trace_id}"


def _course(told: pb.Explanation) -> Iterator[str]:
    """Attempts and steps in the order in which they began."""
    if told.arm:
        yield f"split {told.split}: arm {told.arm}"
    routed = told.layers or told.process.startswith(EDGE)  # else these are calls that were made inside of it
    for number, attempt in enumerate(told.attempts, 1):
        yield _attempt(attempt, f"attempt {number} at" if routed else f"calls {attempt.model} at")
    for step in told.steps:
        yield from _step(step)
    if not told.attempts and not told.steps:
        yield "no replica was asked"


def _attempt(attempt: pb.AttemptTold, what: str) -> str:
    method = f" ({attempt.method})" if attempt.method else ""
    why = f": {attempt.why}" if attempt.why else ""
    where = f"{attempt.replica} ({attempt.address})" if attempt.address else attempt.replica
    if not attempt.after_ms and not attempt.ms:  # of an edge that has no more of it
        return f"{'':12}  {what} {where}{f': {attempt.code}' if attempt.code else ''}{why}"
    return f"+{attempt.after_ms:8.1f} ms  {what} {where}{method}: {attempt.code} after {attempt.ms:.1f} ms{why}"


def _step(step: pb.StepTold) -> Iterator[str]:
    why = f": {step.why}" if step.why else ""
    if step.calls == "batch" and step.code == "OK":
        yield f"+{step.after_ms:8.1f} ms  {step.step}: waited {step.ms:.1f} ms for its turn in a batch"
        return
    batch = f", in a batch of {step.rows} rows of {step.requests} requests" if step.requests > 1 else ""
    calls = f" ({step.calls})" if step.calls and step.calls != "batch" else ""
    yield f"+{step.after_ms:8.1f} ms  {step.step}{calls}: {step.code} after {step.ms:.1f} ms{batch}{why}"
    if len(step.attempts) > 1 or any(attempt.code != "OK" for attempt in step.attempts):
        for attempt in step.attempts:
            yield f"  {_attempt(attempt, 'attempt at')}"


def _insides(told: pb.Explanation) -> Iterator[pb.Explanation]:
    while told.HasField("inside"):
        told = told.inside
        yield told
