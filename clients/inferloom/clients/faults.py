"""What a failed call means: a gRPC status becomes an error of `inferloom.mesh.errors`.

NOT_FOUND            ModelNotFound        PERMISSION_DENIED    Forbidden
INVALID_ARGUMENT     InvalidInput         UNAUTHENTICATED      Unauthenticated
DEADLINE_EXCEEDED    DeadlineExceeded     UNIMPLEMENTED        Unsupported
RESOURCE_EXHAUSTED   Exhausted            ABORTED              Conflict
UNAVAILABLE          NoReplica, or Unreachable where no server was spoken to
any other            ReplicaError with that code
"""

from __future__ import annotations

import re
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.mesh.errors import (
    PUSHBACK_KEY,
    REASON_KEY,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InferloomError,
    InvalidInput,
    ModelNotFound,
    NoReplica,
    ReplicaError,
    Unauthenticated,
    Unreachable,
    Unsupported,
)

__all__ = ["error_of", "message_error", "pairs"]

Pairs = tuple[tuple[str, str | bytes], ...]


_PLAIN: dict[StatusCode, type[InferloomError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidInput,
    StatusCode.UNAVAILABLE: NoReplica,
    StatusCode.PERMISSION_DENIED: Forbidden,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.ABORTED: Conflict,
    StatusCode.UNIMPLEMENTED: Unsupported,
}
# gRPC's own words for what failed before, or below, the server's answer.
_UNREACHED = re.compile(
    r"failed to connect to all addresses|errors? resolving|DNS resolution failed|address lookup failed|Socket closed"
    r"|Connection reset|Connection refused|recvmsg:|GOAWAY|[Tt]oo.many.pings|ping timeout|keepalive|Broken pipe"
    r"|[Ee]ndpoint closing|Channel is in state|transport is closing|empty address list"
)
_NEAR = re.compile(r"did you mean ([A-Za-z0-9._-]+(?: or [A-Za-z0-9._-]+)*)\?")
_TRACE = "\n\nAt:\n"  # where Triton's Python backend puts the stack of the exception; the server's log has it as well


def error_of(rpc: grpc.aio.AioRpcError, *, model: str, address: str, timeout: float | None) -> InferloomError:
    """The error for a failed call.

    Args:
        model: the model called; "" where the call was about none.
        address: of the server, for messages.
        timeout: the call's, in seconds.
    """
    code, details, trailing = rpc.code(), _clean(rpc.details() or ""), pairs(rpc.trailing_metadata())
    facts = dict(trailing)
    if code is StatusCode.NOT_FOUND:
        return _not_found(model, details)
    if code is StatusCode.DEADLINE_EXCEEDED:
        if "Deadline Exceeded" not in details:  # gRPC's own words, sometimes within "Stream removed (...)"
            return DeadlineExceeded(details)
        within = f" within {timeout:g} s" if timeout is not None else ""
        return DeadlineExceeded(f"no answer from {model or address}{within}")
    if code is StatusCode.RESOURCE_EXHAUSTED:
        size = "larger than max" in details
        reason = str(facts.get(REASON_KEY, "size" if size else ""))
        if size and REASON_KEY not in facts:
            details += "; max_message_bytes= sets this client's bound, the server has its own"
        return Exhausted(details, reason=reason, pushback=_pushback(facts))
    if code is StatusCode.UNAVAILABLE and REASON_KEY not in facts and _UNREACHED.search(details):
        return _unreachable(details, address)
    plain = _PLAIN.get(code)
    return (
        plain(details) if plain else ReplicaError(code, details or code.name, trailing, pairs(rpc.initial_metadata()))
    )


def message_error(text: str) -> InferloomError:
    """The error for a stream message's `error_message`, which carries no code."""
    return ReplicaError(StatusCode.UNKNOWN, _clean(text))


def pairs(metadata: Any) -> Pairs:
    return tuple((key, value) for key, value in metadata or ())


def _clean(details: str) -> str:
    return details.partition(_TRACE)[0].strip()


def _not_found(model: str, details: str) -> ModelNotFound:
    near = _NEAR.search(details)
    error = ModelNotFound(model, near[1].split(" or ") if near else ())
    if details:
        error.args = (details,)  # the server's words: they may name a version
    return error


def _pushback(facts: dict[str, str | bytes]) -> float | None:
    """Seconds; gRPC says that what is negative or no number means: do not try again."""
    value = str(facts.get(PUSHBACK_KEY, ""))
    return int(value) / 1000 if value.isdigit() else None


def _unreachable(details: str, address: str) -> Unreachable:
    if "WRONG_VERSION_NUMBER" in details:
        return Unreachable(f"the server at {address} does not speak TLS: leave out tls=, ca= and https://")
    if "Hostname Verification" in details:
        return Unreachable(f"the certificate of {address} is for another host: give its name as server_name=")
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return Unreachable(f"the certificate of {address} is not signed by the authority in ca=")
    if "handshake" in details:
        return Unreachable(
            f"no TLS connection to {address}; a server with mutual TLS asks for cert= and key=: {details}"
        )
    if "many" in details and "pings" in details:
        return Unreachable(f"the server at {address} ended the connection for its pings: give keepalive=300")
    if "Connection refused" in details:
        return Unreachable(
            f"nothing listens at {address}; `inferloom up MODEL` starts a mesh there, or give its address"
        )
    if "resolving" in details or "lookup" in details or "DNS" in details:
        return Unreachable(f"no such host: {address}")
    return Unreachable(
        f"the connection to {address} failed ({details}); where the server uses TLS, give tls=True or ca="
    )
