"""The one seam of the data path: a `Call` goes in, a `Reply` comes out, and `verdict` says what an outcome means.

Everything between the face that reads requests and the transport that sends them is a `Layer` around a `Handler`
(the shape of tower's Service and Layer). They are named tuples: immutable, and made in a third of a frozen dataclass's time.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from grpc import StatusCode

__all__ = ["Call", "Handler", "Layer", "Metadata", "Outcome", "Reply", "Verdict", "verdict"]

Metadata = tuple[tuple[str, str | bytes], ...]


class Call(NamedTuple):
    """One request on its way. Tensors in `payload` are never parsed."""

    model: str
    version: str  # "": the replica's default
    method: str  # "/inference.GRPCInferenceService/ModelInfer"
    payload: bytes  # the request message as it came
    metadata: Metadata  # what travels with it, transport's own headers taken out
    deadline: float  # absolute, on the Clock; always set
    affinity: bytes | None = None  # requests with the same key go to the same replica, and are never retried elsewhere


class Reply(NamedTuple):
    """A replica's answer, as it came."""

    payload: bytes
    initial: Metadata = ()
    trailing: Metadata = ()


class Handler(Protocol):
    """Answers a call or raises an InferloomError; asyncio.CancelledError where the caller went away."""

    async def __call__(self, call: Call) -> Reply: ...


Layer = Callable[[Handler], Handler]


class Verdict(Enum):
    """What an attempt's outcome says of the replica, and whether another may be tried."""

    SUCCESS = "success"  # it answered; an error that is the caller's own fault is an answer too
    FAILURE = "failure"  # counts against it; trying elsewhere would be guessing
    RETRYABLE = "retryable"  # counts against it; another replica may well answer
    SHED = "shed"  # it is overloaded: neither harms nor heals; may be tried elsewhere
    IGNORED = "ignored"  # says nothing about it


class Outcome(NamedTuple):
    """How an attempt ended.

    `code` None: the caller went away before it ended. `late`: it went away after nine tenths of the attempt's time, or
    as the loser of a hedge; that counts as "at least this slow" (a caller's deadline arrives in grpc.aio as a
    cancellation, and a rule that ignores all of them never ejects a frozen replica).
    """

    code: StatusCode | None
    seconds: float
    late: bool = False
    lost: bool = False  # the connection broke, or the mesh gave the replica up, while the attempt ran
    shed: bool = False


_FAILURES = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DATA_LOSS})
OK = StatusCode.OK


def verdict(outcome: Outcome) -> Verdict:
    """The one place that judges an outcome: health, retries and metrics all ask it."""
    code = outcome.code
    if code is OK:
        return Verdict.SUCCESS
    if outcome.lost:
        return Verdict.RETRYABLE
    if code is None:
        return Verdict.FAILURE if outcome.late else Verdict.IGNORED
    if code is StatusCode.UNAVAILABLE:
        return Verdict.RETRYABLE
    if code is StatusCode.RESOURCE_EXHAUSTED:
        return Verdict.SHED if outcome.shed else Verdict.IGNORED
    if code is StatusCode.DEADLINE_EXCEEDED:
        return Verdict.FAILURE if outcome.late else Verdict.IGNORED
    if code is StatusCode.CANCELLED:
        return Verdict.IGNORED
    return Verdict.FAILURE if code in _FAILURES else Verdict.SUCCESS
