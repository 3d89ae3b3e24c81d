"""What a failure of users' code looks like from outside: its type and message, never its stack."""

from __future__ import annotations

import traceback
from types import TracebackType

import structlog
from grpc import StatusCode

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import (
    DETAILS_KEY,
    INNER_KEY,
    PUSHBACK_KEY,
    REASON_KEY,
    InferloomError,
    ModelNotFound,
    ReplicaError,
    status_of,
)

__all__ = ["from_outside", "inside", "stack_text", "summary"]

log = structlog.get_logger(__name__)

LONGEST = 500  # characters of a message that go over the wire
REQUEST_ID = "x-request-id"
_ABOUT_REPEATING = (REASON_KEY, PUSHBACK_KEY)


def from_outside(error: BaseException, name: str, request_id: str, metadata: Metadata = ()) -> InferloomError:
    """The error for the caller. A user's exception becomes UNKNOWN with "TypeName: first line", and goes to the log.

    Args:
        name: of the service or pipeline.
        request_id: the request's own; "": the `x-request-id` in the metadata, if any.
    """
    if isinstance(error, InferloomError):
        return error
    told = request_id or next((str(value) for key, value in metadata if key == REQUEST_ID), "")
    log.error("the service's code raised", service=name, request=told, stack=stack_text(error))
    return ReplicaError(StatusCode.UNKNOWN, summary(error))


def inside(error: InferloomError) -> InferloomError:
    """An error of a call that users' code made and did not catch, as the error of the code itself.

    Code and message stay, and so does when to ask again. That is marked: a model that turned the inner call away may be
    asked by anybody, but the code around that call had begun, so a router repeats it only where it may be repeated. A model
    that is not there becomes UNAVAILABLE: the caller asked for another one, which is.
    """
    if isinstance(error, ModelNotFound):
        return ReplicaError(StatusCode.UNAVAILABLE, f"a call inside it failed: {error}")
    status = status_of(error)
    if not status.trailing:
        return error
    kept = tuple(pair for pair in status.trailing if pair[0] in _ABOUT_REPEATING)
    details = tuple(pair for pair in status.trailing if pair[0] == DETAILS_KEY)
    return ReplicaError(status.code, status.message, (*details, *kept, (INNER_KEY, "1")) if kept else details)


def stack_text(error: BaseException) -> str:
    """Its stack from the user's own frames on, as Python prints it: without values, which may be anybody's secret."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and _is_ours(frames):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _is_ours(frame: TracebackType) -> bool:
    return str(frame.tb_frame.f_globals.get("__name__", "")).startswith("inferloom.")


def summary(error: BaseException) -> str:
    """ "TypeName: first line of its message", bounded."""
    try:
        text = str(error).strip()
    except Exception as broken:  # users' own __str__
        text = f"(its message cannot be shown: {type(broken).__name__})"
    first = text.splitlines()[0] if text else ""
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return said if len(said) <= LONGEST else said[: LONGEST - 3] + "..."
