"""The face without a network: bytes and a context in, bytes or a status out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.oip import METHODS, SERVICE, Kind, pb
from inferloom.mesh.router.face import OipFace
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from tests.unit.mesh.fakes import REQUEST, FakeChannel, Sent, fails, replica
from tests.unit.mesh.router.face_fakes import Aborted, FakeContext, FakeRouter

A = replica("a", versions=("1", "2"))


def serve(router: FakeRouter, method: str = "ModelInfer") -> Callable[[bytes, FakeContext], Awaitable[bytes]]:
    face, path = OipFace(router), f"/{SERVICE}/{method}"
    if path in face.calls:
        return lambda request, context: face.calls[path](context.invocation_metadata(), request, context)
    behaviour: Callable[[bytes, FakeContext], Awaitable[bytes]] = face.handlers[path].unary_unary
    return behaviour


def only(router: FakeRouter) -> FakeChannel:
    (channel,) = router.channels.values()
    return channel


def counted(router: FakeRouter) -> set[tuple[str, str, StatusCode]]:
    return {(model, version, StatusCode[code]) for model, version, code in router.metrics._requests}


async def test_a_request_goes_to_a_replica_with_its_metadata_and_deadline() -> None:
    router = FakeRouter(A)

    async def answer(sent: Sent) -> Reply:
        return Reply(b"\x0a\x00", (("i", "1"),), (("t", "2"),))

    only(router).answer = answer
    context = FakeContext(1.0, (("x-user", "ada"), ("user-agent", "me")))
    assert await serve(router)(REQUEST, context) == b"\x0a\x00"
    (sent,) = only(router).sent
    assert sent.metadata == (("x-user", "ada"),)
    assert sent.timeout == pytest.approx(0.99)
    assert (context.initial, context.trailing) == ((("i", "1"),), (("t", "2"),))
    assert counted(router) == {("iris", "", StatusCode.OK)}


@pytest.mark.parametrize(("remaining", "timeout"), [(None, 30.0), (5000.0, 600.0), (2.0, 2.0)])
async def test_a_call_always_has_a_deadline(remaining: float | None, timeout: float) -> None:
    router = FakeRouter(A)
    await serve(router)(REQUEST, FakeContext(remaining))
    assert only(router).sent[0].timeout == pytest.approx(timeout - 0.010)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"\xff", StatusCode.INVALID_ARGUMENT, "do not parse"),
        (b"", StatusCode.INVALID_ARGUMENT, "names no model"),
        (pb.ModelInferRequest(model_name="a/b").SerializeToString(), StatusCode.INVALID_ARGUMENT, "is no model name"),
        (pb.ModelInferRequest(model_name="irsi").SerializeToString(), StatusCode.NOT_FOUND, "did you mean iris"),
    ],
    ids=["no message", "no name", "an impossible name", "an unknown name"],
)
async def test_what_names_no_model_of_the_mesh_is_refused(request_: bytes, code: StatusCode, message: str) -> None:
    router, context = FakeRouter(A), FakeContext()
    with pytest.raises(Aborted):
        await serve(router)(request_, context)
    assert context.code is code
    assert message in context.message
    assert not only(router).sent
    assert counted(router) == {(UNKNOWN_MODEL, "", code)}


async def test_a_replicas_error_passes_unchanged_with_its_metadata() -> None:
    router, context = FakeRouter(A), FakeContext()
    only(router).answer = fails(ReplicaError(StatusCode.INVALID_ARGUMENT, "shape [3]", (("t", "1"),)))
    with pytest.raises(Aborted):
        await serve(router)(REQUEST, context)
    assert (context.code, context.message) == (StatusCode.INVALID_ARGUMENT, "shape [3]")
    own, added = context.trailing
    assert own == ("t", "1")
    assert added[0] == "x-inferloom-request-id"


async def test_an_unexpected_error_tells_nothing_over_the_wire() -> None:
    router, context = FakeRouter(A), FakeContext()
    only(router).answer = fails(KeyError("secret"))
    with pytest.raises(Aborted):
        await serve(router)(REQUEST, context)
    assert context.code is StatusCode.INTERNAL
    assert "secret" not in context.message
    assert counted(router) == {("iris", "", StatusCode.INTERNAL)}


async def test_a_caller_that_goes_away_is_counted_as_cancelled() -> None:
    router = FakeRouter(A)

    async def never(sent: Sent) -> Reply:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    only(router).answer = never
    task = asyncio.ensure_future(serve(router)(REQUEST, FakeContext()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counted(router) == {("iris", "", StatusCode.CANCELLED)}


async def test_labels_stay_bounded_whatever_versions_are_asked_for() -> None:
    router = FakeRouter(A)
    for number in range(50):
        request = pb.ModelInferRequest(model_name="iris", model_version=str(number)).SerializeToString()
        try:
            await serve(router)(request, FakeContext())
        except Aborted:
            continue
    assert len(counted(router)) == 3  # versions 1 and 2, and all the others


@pytest.mark.parametrize("method", [m.name for m in METHODS.values() if m.kind is Kind.FORBIDDEN])
async def test_what_would_change_one_replica_is_forbidden(method: str) -> None:
    router, context = FakeRouter(A), FakeContext()
    with pytest.raises(Aborted):
        await serve(router, method)(b"", context)
    assert context.code is StatusCode.PERMISSION_DENIED
    assert method in context.message
    assert not only(router).sent


def test_every_method_of_the_protocol_is_answered_and_no_other() -> None:
    face = OipFace(FakeRouter())
    assert face.calls.keys() | face.handlers.keys() == METHODS.keys()
    assert not face.calls.keys() & face.handlers.keys()
    assert not face.busy


async def test_metadata_names_all_versions_of_the_mesh() -> None:
    router = FakeRouter(A)

    async def answer(sent: Sent) -> Reply:
        return Reply(pb.ModelMetadataResponse(name="iris", versions=["1"]).SerializeToString())

    only(router).answer = answer
    request = pb.ModelMetadataRequest(name="iris").SerializeToString()
    payload = await serve(router, "ModelMetadata")(request, FakeContext())
    assert list(pb.ModelMetadataResponse.FromString(payload).versions) == ["1", "2"]
