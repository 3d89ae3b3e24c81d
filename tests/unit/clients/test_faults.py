"""Each status becomes one typed error, with the server's words and without its stack."""

from __future__ import annotations

import grpc
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata

from inferloom.clients.faults import error_of, message_error
from inferloom.mesh.errors import (
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
    status_of,
)


def fault(code: StatusCode, details: str, *trailing: tuple[str, str]) -> InferloomError:
    rpc = AioRpcError(code, Metadata(), Metadata(*trailing), details, None)
    return error_of(rpc, model="m", address="h:1", timeout=2.0)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.NOT_FOUND, ModelNotFound),
        (StatusCode.INVALID_ARGUMENT, InvalidInput),
        (StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (StatusCode.RESOURCE_EXHAUSTED, Exhausted),
        (StatusCode.UNAVAILABLE, NoReplica),
        (StatusCode.PERMISSION_DENIED, Forbidden),
        (StatusCode.UNAUTHENTICATED, Unauthenticated),
        (StatusCode.ABORTED, Conflict),
        (StatusCode.UNIMPLEMENTED, Unsupported),
        (StatusCode.INTERNAL, ReplicaError),
        (StatusCode.UNKNOWN, ReplicaError),
        (StatusCode.DATA_LOSS, ReplicaError),
    ],
)
def test_a_status_is_its_error_with_its_code_and_words(code: StatusCode, kind: type[InferloomError]) -> None:
    error = fault(code, "the server's words")
    assert type(error) is kind
    assert error.code is code
    assert str(error) == "the server's words"


@pytest.mark.parametrize(
    "sent",
    [
        ModelNotFound("m", ["mm", "m-2"]),
        NoReplica("m has 2 replicas: r1 is draining, r2 is open"),
        Exhausted("too many", reason="shed", pushback=0.25),
        Exhausted("too many", reason="quota"),
        InvalidInput("bytes that are no message"),
    ],
)
def test_an_error_of_the_mesh_arrives_as_it_was_raised(sent: InferloomError) -> None:
    status = status_of(sent)
    error = fault(status.code, status.message, *[(k, str(v)) for k, v in status.trailing])
    assert type(error) is type(sent)
    assert str(error) == str(sent)
    assert vars(error) == vars(sent)


def test_a_stack_of_the_server_is_left_out() -> None:
    details = "Failed to process the request(s), message: ValueError: no\n\nAt:\n  /models/m/1/model.py(4): execute\n"
    assert str(fault(StatusCode.INTERNAL, details)) == "Failed to process the request(s), message: ValueError: no"
    assert str(message_error(details)) == "Failed to process the request(s), message: ValueError: no"


def test_the_replicas_error_keeps_its_trailing_metadata() -> None:
    error = fault(StatusCode.INTERNAL, "no", ("x-replica", "r1"))
    assert isinstance(error, ReplicaError)
    assert error.trailing == (("x-replica", "r1"),)


@pytest.mark.parametrize("details", ["Deadline Exceeded", "Stream removed (Deadline Exceeded)"])
def test_our_own_deadline_names_the_model_and_the_time(details: str) -> None:
    assert str(fault(StatusCode.DEADLINE_EXCEEDED, details)) == "no answer from m within 2 s"


def test_a_message_over_a_bound_says_whose_bound() -> None:
    error = fault(StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max (9 vs. 4)")
    assert isinstance(error, Exhausted)
    assert error.reason == "size"
    assert "max_message_bytes= sets this client's bound" in str(error)


@pytest.mark.parametrize(
    ("details", "message"),
    [
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused",
            "nothing listens at h:1; `inferloom up MODEL` starts a mesh there, or give its address",
        ),
        ("Too many pings", "the server at h:1 ended the connection for its pings: give keepalive=300"),
        ("errors resolving h:1: [field:hostname lookup error]", "no such host: h:1"),
        (
            "failed to connect to all addresses; last error: Tls handshake failed: WRONG_VERSION_NUMBER",
            "the server at h:1 does not speak TLS: leave out tls=, ca= and https://",
        ),
        (
            "failed to connect to all addresses; last error: Tls handshake failed: CERTIFICATE_VERIFY_FAILED",
            "the certificate of h:1 is not signed by the authority in ca=",
        ),
        (
            "failed to connect to all addresses; last error: Hostname Verification Check failed.",
            "the certificate of h:1 is for another host: give its name as server_name=",
        ),
        (
            "Socket closed",
            "the connection to h:1 failed (Socket closed); where the server uses TLS, give tls=True or ca=",
        ),
    ],
)
def test_a_server_that_was_not_spoken_to_is_unreachable(details: str, message: str) -> None:
    error = fault(StatusCode.UNAVAILABLE, details)
    assert type(error) is Unreachable
    assert error.code is grpc.StatusCode.UNAVAILABLE
    assert str(error) == message
