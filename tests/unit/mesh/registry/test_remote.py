"""What a subscriber makes of the other side's messages. No connection is made: gRPC makes it with the first call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import (
    Conflict,
    Forbidden,
    InferloomError,
    InvalidInput,
    RegistryUnavailable,
    Unauthenticated,
)
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.messages import document_to, replica_to
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.mesh.registry.remote_documents import RemoteDocuments
from inferloom.mesh.registry.remote_peer import Peer
from inferloom.v1 import mesh_pb2 as pb
from tests.unit.mesh.fakes import replica


def change(*keys: str, model: str = "iris", index: int = 1, **more: Any) -> pb.CatalogChange:
    replicas = [replica_to(replica(key, model=model)) for key in keys]
    return pb.CatalogChange(models=[pb.Model(name=model, replicas=replicas)], index=index, fresh=True, **more)


@pytest.fixture
async def registry() -> AsyncIterator[RemoteRegistry]:
    registry = RemoteRegistry("127.0.0.1:1", clock=ManualClock())
    yield registry
    await registry.close()


async def test_changes_build_on_what_is_known_and_unchanged_models_stay_the_same_object(
    registry: RemoteRegistry,
) -> None:
    assert registry.age == float("inf")
    registry._apply(change("a", complete=True))
    before = registry.catalog.models["iris"]
    registry._apply(change("a", model="digits", index=2))
    assert list(registry.catalog.models) == ["digits", "iris"]
    assert registry.catalog.models["iris"] is before
    registry._apply(pb.CatalogChange(removed=["digits"], index=3, fresh=True))
    assert list(registry.catalog.models) == ["iris"]
    assert (registry.catalog.index, registry.age) == (3, 0.0)


async def test_a_complete_one_replaces_all_and_still_shares_what_did_not_change(registry: RemoteRegistry) -> None:
    registry._apply(change("a", complete=True))
    registry._apply(change("a", model="digits"))
    before = registry.catalog.models["iris"]
    registry._apply(change("a", complete=True, index=9))
    assert list(registry.catalog.models) == ["iris"]
    assert registry.catalog.models["iris"] is before


async def test_the_other_sides_outage_is_ones_own(registry: RemoteRegistry) -> None:
    registry._apply(change("a", complete=True))
    stale = change("a")
    stale.fresh = False
    registry._apply(stale)
    assert not registry.catalog.fresh
    clock = registry._clock
    assert isinstance(clock, ManualClock)
    await clock.advance(5.0)
    assert registry.age == 5.0


def rpc_error(code: grpc.StatusCode, details: str = "why") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, None)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (grpc.StatusCode.ABORTED, Conflict, "why"),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput, "why"),
        (grpc.StatusCode.PERMISSION_DENIED, Forbidden, "why"),
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated, "why"),
        (grpc.StatusCode.UNAVAILABLE, RegistryUnavailable, "no mesh answers at h:1"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, RegistryUnavailable, "no mesh answers at h:1"),
        (grpc.StatusCode.INTERNAL, InferloomError, "why"),
    ],
)
def test_a_status_becomes_the_error_it_was(code: grpc.StatusCode, kind: type[InferloomError], text: str) -> None:
    error = Peer("h:1", None, (), ManualClock()).typed(rpc_error(code))
    assert type(error) is kind
    assert str(error).startswith(text)


class FakeStub:
    """Streams of document changes in order; each ends with an error, as a connection does that breaks."""

    def __init__(self, *streams: list[pb.DocumentsChange]) -> None:
        self._streams = list(streams)

    async def WatchDocuments(self, request: Any, metadata: Any) -> AsyncIterator[pb.DocumentsChange]:  # noqa: N802
        for message in self._streams.pop(0):
            yield message
        raise rpc_error(grpc.StatusCode.UNAVAILABLE)


def documents(*pairs: tuple[str, int], complete: bool = False, gone: tuple[str, ...] = ()) -> pb.DocumentsChange:
    changed = [document_to(Document("model", name, {"n": n}, n, "ada", 1.0)) for name, n in pairs]
    return pb.DocumentsChange(
        complete=complete, documents=changed + [pb.Document(kind="model", name=name) for name in gone]
    )


async def test_documents_go_on_after_a_break_and_unchanged_ones_stay_the_same_object() -> None:
    class Instant(ManualClock):
        async def sleep(self, seconds: float) -> None:
            self._now += seconds

    stub = FakeStub(
        [documents(("a", 1), ("b", 1), complete=True), documents(("b", 2)), documents(gone=("b",))],
        [documents(("a", 1), ("c", 1), complete=True)],
    )
    watch = RemoteDocuments(Peer("h:1", stub, (), Instant())).watch("model")
    states = [await anext(watch) for _ in range(4)]
    assert [sorted(name for _, name in state) for state in states] == [["a", "b"], ["a", "b"], ["a"], ["a", "c"]]
    assert len({id(state["model", "a"]) for state in states}) == 1
    assert states[1]["model", "b"].version == 2
    await watch.aclose()  # type: ignore[attr-defined]
