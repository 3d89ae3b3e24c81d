"""Whether an attempt that failed may be repeated, and how long to wait before. Pure functions; the stack does the rest."""

from __future__ import annotations

import random

from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.policy import Retrying, TrafficPolicy

__all__ = ["backoff", "may_retry"]


def may_retry(judged: Verdict, sent: bool, call: Call, policy: TrafficPolicy) -> bool:
    """Whether another attempt makes sense, budget and deadline aside.

    Args:
        judged: the verdict on the attempt that failed.
        sent: False where it is certain that the replica never saw the request: then anything may be repeated.
    """
    if judged is Verdict.SHED:
        return call.affinity is None  # it was turned away, not begun
    if judged is not Verdict.RETRYABLE or (call.affinity is not None and sent):
        return False
    return policy.idempotent or not sent


def backoff(settings: Retrying, number: int, pushback: float | None, rng: random.Random) -> float | None:
    """Seconds before the next attempt, after attempt `number` (from 1); None: make none.

    The first retry goes out at once, for it goes to another replica. A server's pushback is honoured to the letter
    (gRPC A6): a negative one means "do not".
    """
    if pushback is not None:
        return pushback if pushback >= 0 else None
    if number == 1:
        return 0.0
    spread = 1 + settings.jitter * (2 * rng.random() - 1)
    return float(settings.backoff * 2 ** (number - 2) * spread)
