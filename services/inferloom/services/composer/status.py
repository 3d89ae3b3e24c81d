"""Errors inside a pipeline: whose they are, and where they happened.

poison    the request's own: repeated with fewer rows of a batch, it shows whose
the rest  the infrastructure's: everybody in the batch gets them
"""

from __future__ import annotations

from grpc import StatusCode

from inferloom.mesh.errors import DeadlineExceeded, InferloomError, ReplicaError, status_of

__all__ = ["Poisoned", "again", "at", "is_poison"]

_POISON = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
        StatusCode.OUT_OF_RANGE,
        StatusCode.FAILED_PRECONDITION,
    }
)


class Poisoned(Exception):
    """A step failed a batch because of one of its rows; the retry budget has paid for finding out which.

    Args:
        error: what everybody gets where it cannot be found out.
    """

    def __init__(self, error: InferloomError) -> None:
        super().__init__(str(error))
        self.error = error


def is_poison(error: InferloomError) -> bool:
    return error.code in _POISON


def at(error: InferloomError, where: str) -> InferloomError:
    """The error with the place in front ("pipeline 'digits', node 'svm': model 'digits-svm'").

    A model that is not in the catalog is the pipeline's misfortune and not the caller's mistake: UNAVAILABLE.
    """
    status = status_of(error)
    code = StatusCode.UNAVAILABLE if status.code is StatusCode.NOT_FOUND else status.code
    if isinstance(error, DeadlineExceeded):
        return DeadlineExceeded(f"{where}: {error}")
    return ReplicaError(code, f"{where}: {error}", status.trailing)


def again(error: InferloomError) -> InferloomError:
    """A copy: each caller of a batch raises its own."""
    status = status_of(error)
    return ReplicaError(status.code, status.message, status.trailing)
