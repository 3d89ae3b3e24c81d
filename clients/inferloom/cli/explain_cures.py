"""What may help a request that was slow or failed: one sentence for each thing that can be seen."""

from __future__ import annotations

from collections.abc import Iterator

from inferloom.v1 import explain_pb2 as pb

__all__ = ["cures"]

MUCH = 0.3  # share of the request's time


def cures(told: pb.Explanation) -> list[str]:
    """Sentences, what matters most first; empty where nothing is known to help."""
    return list(dict.fromkeys([*_of_failure(told), *_of_attempts(told), *_of_steps(told), *_of_slowness(told)]))


def _of_failure(told: pb.Explanation) -> Iterator[str]:
    model = told.model
    if told.code == "UNAVAILABLE" and not told.attempts:
        yield f"no replica of {model} could be used: `inferloom models` says why each is out"
    elif told.code == "DEADLINE_EXCEEDED":
        yield f"give it more time (the caller's timeout, or `timeout` in the policy of {model}), or more replicas"
    elif told.code == "RESOURCE_EXHAUSTED":
        yield f"{model} turned it away for load: more replicas, or slower callers; `inferloom top` shows the load"
    elif told.code == "CANCELLED":
        yield f"its caller waited {told.ms:.0f} ms: a caller who waits longer gets an answer where {model} is only slow"
    elif told.code == "NOT_FOUND":
        yield "`inferloom models` lists the names that are served"
    elif told.code == "INVALID_ARGUMENT":
        yield f"the request itself is what is wrong, and the error says where; `inferloom infer {model}` shows a good one"
    elif told.code in ("INTERNAL", "UNKNOWN"):
        where = told.inside.process if told.HasField("inside") else told.replica
        yield f"it is the model's or the service's own error: the log of {where or model} has its stack"


def _of_attempts(told: pb.Explanation) -> Iterator[str]:
    bad = [attempt.replica for attempt in told.attempts if attempt.code not in ("OK", "CANCELLED")]
    if bad and told.code == "OK":
        yield f"it was tried again elsewhere: look at {', '.join(dict.fromkeys(bad))}"
    if told.ms and told.layers["retry"] > MUCH * told.ms:
        yield f"most of that was waiting between attempts: `retry.backoff` in the policy of {told.model} sets how long"
    out = [each.replica for each in told.passed_over if each.why.startswith(("open", "half-open", "its health"))]
    if out:
        yield f"fewer replicas carry the load: {', '.join(out)} took no requests"


def _of_steps(told: pb.Explanation) -> Iterator[str]:
    whole = told.inside if told.HasField("inside") else told
    for step in whole.steps:
        if step.why.startswith("late"):
            node = step.step.partition(".")[0]
            yield (
                f"{step.step} was late: more replicas for it, a longer `wait` of {node}, or do without it; "
                f"the answer came from the others"
            )
        elif step.calls == "batch" and step.ms > MUCH * whole.ms:
            yield f"{step.step} waited for its turn: its models are busy; more replicas or instances of them"
    timed = [step for step in whole.steps if step.calls != "batch" and step.code == "OK"]
    longest = max(timed, key=lambda step: step.ms, default=None)
    if longest is not None and longest.ms > 0.5 * whole.ms:
        share = 100 * longest.ms / whole.ms
        yield f"{longest.step} ({longest.calls}) took {share:.0f} % of the pipeline's time: begin there"
    if told.attempts and whole is not told and told.attempts[-1].ms - whole.ms > max(5.0, 0.5 * told.ms):
        yield f"most of it was spent on the way to {whole.process} and back: that host is busy; run another"


def _of_slowness(told: pb.Explanation) -> Iterator[str]:
    if told.code != "OK" or told.HasField("inside") or not told.attempts or told.layers["retry"] > MUCH * told.ms:
        return
    last = told.attempts[-1]
    if told.kind == "slow" and last.ms > 0.5 * told.ms:
        yield (
            f"the replica {last.replica} itself took the time: its queue or the model; where it is busy in "
            f"`inferloom top`, more replicas help"
        )
