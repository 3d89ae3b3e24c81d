"""Every error inferloom raises, and the gRPC status each one becomes.

    InferloomError                 INTERNAL
    ├── InvalidInput               INVALID_ARGUMENT     the request, a file, a document or an option is wrong
    │   └── ConfigError            INVALID_ARGUMENT     ... found at start-up: one line, exit status 2
    ├── ModelNotFound              NOT_FOUND            names near matches
    ├── NoReplica                  UNAVAILABLE          how many there are and why each is out
    ├── RegistryUnavailable        UNAVAILABLE
    ├── Unreachable                UNAVAILABLE          a client spoke to nobody: wrong address, TLS on one side
    ├── Exhausted                  RESOURCE_EXHAUSTED   reason "shed", "quota" or "size"; only "shed" is retried
    ├── DeadlineExceeded           DEADLINE_EXCEEDED    no work is started after it
    ├── Forbidden                  PERMISSION_DENIED
    ├── Unauthenticated            UNAUTHENTICATED
    ├── Conflict                   ABORTED              a document changed under the writer
    ├── Unsupported                UNIMPLEMENTED
    └── ReplicaError               the replica's own code and message, unchanged

`status_of` is the only function that turns an exception into a status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from grpc import StatusCode

from inferloom.mesh.violation import Violation

__all__ = [
    "DETAILS_KEY",
    "REASON_KEY",
    "ConfigError",
    "Conflict",
    "DeadlineExceeded",
    "Exhausted",
    "Forbidden",
    "InferloomError",
    "InvalidInput",
    "ModelNotFound",
    "NoReplica",
    "RegistryUnavailable",
    "ReplicaError",
    "Status",
    "Unauthenticated",
    "Unreachable",
    "Unsupported",
    "Violation",
    "status_of",
]

REASON_KEY = "x-inferloom-reason"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
DETAILS_KEY = "grpc-status-details-bin"  # a serialised google.rpc.Status
INNER_KEY = "x-inferloom-inner"  # it was a call further in that was turned away: the one around it had begun


class InferloomError(Exception):
    """The root. `code` is the gRPC status code a caller sees; `str(error)` is the message."""

    code: StatusCode = StatusCode.INTERNAL
    told: MetadataPairs = ()  # trailing metadata that is not the error's own: by which to ask for an explanation
    replica: str = ""  # id of the replica that was asked last, where a router knows; not told to callers


class InvalidInput(InferloomError):
    """Something the caller gave is wrong; the message names the place and the cure.

    Args:
        message: all of it, as one line.
        violations: the same by field, where there are fields.
    """

    code = StatusCode.INVALID_ARGUMENT

    def __init__(self, message: str = "", violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = tuple(violations)


class ConfigError(InvalidInput):
    """Wrong configuration, found before anything runs. The command line prints it as one line and exits with 2."""


class ModelNotFound(InferloomError):
    """No such model in the catalog.

    Args:
        model: the name asked for.
        near: names in the catalog that look like it, best first.
    """

    code = StatusCode.NOT_FOUND

    def __init__(self, model: str, near: Sequence[str] = ()) -> None:
        self.model = model
        self.near = tuple(near)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"model '{model}' not found{hint}")


class NoReplica(InferloomError):
    """The model exists and none of its replicas may be used now."""

    code = StatusCode.UNAVAILABLE


class RegistryUnavailable(InferloomError):
    """The registry (Consul, or the mesh a remote registry subscribes to) does not answer."""

    code = StatusCode.UNAVAILABLE


class Unreachable(InferloomError):
    """No server was spoken to, or the connection to it broke: nothing listens there, no such host, TLS on one side."""

    code = StatusCode.UNAVAILABLE


class Exhausted(InferloomError):
    """Refused for want of room.

    Args:
        message: what was exceeded and the bound.
        reason: "shed" (overload: may be retried elsewhere, after `pushback`), "quota" or "size" (never retried).
        pushback: seconds to wait before the next attempt; None where there shall be none.
    """

    code = StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, reason: str, pushback: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.pushback = pushback


class DeadlineExceeded(InferloomError):
    """The deadline has passed, or cannot be met any more."""

    code = StatusCode.DEADLINE_EXCEEDED


class Forbidden(InferloomError):
    """A call the mesh never passes on."""

    code = StatusCode.PERMISSION_DENIED


class Unauthenticated(InferloomError):
    """A token is needed, or the one sent is wrong."""

    code = StatusCode.UNAUTHENTICATED


class Conflict(InferloomError):
    """A document is not at the version its writer expected: read it again and repeat the change."""

    code = StatusCode.ABORTED


class Unsupported(InferloomError):
    """A method that the mesh does not have."""

    code = StatusCode.UNIMPLEMENTED


MetadataPairs = tuple[tuple[str, str | bytes], ...]


class ReplicaError(InferloomError):
    """A replica's own answer, passed on unchanged.

    Args:
        code: the replica's status code.
        message: its status details.
        trailing: its trailing metadata.
        initial: its initial metadata.
    """

    def __init__(
        self, code: StatusCode, message: str, trailing: MetadataPairs = (), initial: MetadataPairs = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.trailing = trailing
        self.initial = initial


@dataclass(frozen=True, slots=True)
class Status:
    """What goes over the wire for an error."""

    code: StatusCode
    message: str
    trailing: MetadataPairs = field(default=())

    INTERNAL_MESSAGE: ClassVar[str] = "internal error of the mesh; its log has the details"


def status_of(error: BaseException) -> Status:
    """The status of any exception. An unexpected one becomes INTERNAL without its text: that belongs in the log."""
    status = _own_status(error)
    if not isinstance(error, InferloomError) or not error.told:
        return status
    keys = {key for key, _ in error.told}
    return replace(status, trailing=(*(pair for pair in status.trailing if pair[0] not in keys), *error.told))


def _own_status(error: BaseException) -> Status:
    if isinstance(error, ReplicaError):
        return Status(error.code, str(error), error.trailing)
    if isinstance(error, Exhausted):
        trailing: MetadataPairs = ((REASON_KEY, error.reason),)
        if error.pushback is not None:
            trailing += ((PUSHBACK_KEY, str(round(error.pushback * 1000))),)
        return Status(error.code, str(error), trailing)
    if isinstance(error, InvalidInput) and error.violations:
        from inferloom.mesh.details import bad_request

        return Status(error.code, str(error), ((DETAILS_KEY, bad_request(str(error), error.violations)),))
    if isinstance(error, InferloomError):
        return Status(error.code, str(error))
    return Status(StatusCode.INTERNAL, Status.INTERNAL_MESSAGE)
