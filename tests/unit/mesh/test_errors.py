from __future__ import annotations

import pytest
from grpc import StatusCode

from inferloom.mesh import errors
from inferloom.mesh.errors import Exhausted, ModelNotFound, ReplicaError, status_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInput("x"), StatusCode.INVALID_ARGUMENT),
        (errors.ConfigError("x"), StatusCode.INVALID_ARGUMENT),
        (errors.NoReplica("x"), StatusCode.UNAVAILABLE),
        (errors.RegistryUnavailable("x"), StatusCode.UNAVAILABLE),
        (errors.DeadlineExceeded("x"), StatusCode.DEADLINE_EXCEEDED),
        (errors.Forbidden("x"), StatusCode.PERMISSION_DENIED),
        (errors.Unauthenticated("x"), StatusCode.UNAUTHENTICATED),
        (errors.Conflict("x"), StatusCode.ABORTED),
        (errors.Unsupported("x"), StatusCode.UNIMPLEMENTED),
        (errors.InferloomError("x"), StatusCode.INTERNAL),
    ],
)
def test_each_error_has_its_code_and_keeps_its_message(error: errors.InferloomError, code: StatusCode) -> None:
    status = status_of(error)
    assert (status.code, status.message, status.trailing) == (code, "x", ())


def test_an_unexpected_error_says_nothing_over_the_wire() -> None:
    status = status_of(ValueError("/etc/secret"))
    assert status.code is StatusCode.INTERNAL
    assert "secret" not in status.message


def test_shed_load_says_why_and_when_to_come_back() -> None:
    status = status_of(Exhausted("full", reason="shed", pushback=0.1))
    assert status.trailing == (("x-inferloom-reason", "shed"), ("grpc-retry-pushback-ms", "100"))
    assert status_of(Exhausted("full", reason="size")).trailing == (("x-inferloom-reason", "size"),)


def test_a_replicas_own_error_passes_unchanged() -> None:
    trailing = (("k", "v"), ("k-bin", b"\x00"))
    status = status_of(ReplicaError(StatusCode.NOT_FOUND, "Triton says no", trailing))
    assert (status.code, status.message, status.trailing) == (StatusCode.NOT_FOUND, "Triton says no", trailing)


def test_a_model_that_is_not_there_names_near_ones() -> None:
    assert str(ModelNotFound("irsi", ["iris", "iris2"])) == "model 'irsi' not found; did you mean iris or iris2?"
    assert str(ModelNotFound("irsi")) == "model 'irsi' not found"
