from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inferloom.mesh.call import Reply
from inferloom.mesh.clock import seeded
from inferloom.mesh.errors import ModelNotFound, ReplicaError
from inferloom.mesh.policy import Retrying, TrafficPolicy
from inferloom.mesh.router.stack import assemble
from inferloom.mesh.telemetry.tracing import ENDPOINTS, Tracing, from_environment
from tests.unit.mesh.fakes import FakeMesh, Sent, call, fails, replica

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TWO_TRIES = TrafficPolicy(retry=Retrying(attempts=2))
METADATA = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-user", "ada"))


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced(spans: InMemorySpanExporter, mesh: FakeMesh) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing = Tracing(provider)
    mesh.handle = assemble(mesh.pool, mesh.admission, mesh.clock, seeded(1), mesh.metrics, tracing)
    return tracing


async def test_a_call_and_its_attempts_are_one_tree_below_the_callers_span(spans: InMemorySpanExporter) -> None:
    gone = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
    mesh = FakeMesh([replica("a"), replica("b")], {key: fails(gone) for key in "ab"}, TWO_TRIES)
    traced(spans, mesh)
    with pytest.raises(ReplicaError):
        await mesh.ask(metadata=METADATA)
    first, second, whole = spans.get_finished_spans()
    assert (first.name, second.name) == ("attempt", "attempt")
    assert whole.name == "inference.GRPCInferenceService/ModelInfer"
    assert whole.parent is not None
    assert format(whole.parent.span_id, "016x") == PARENT
    for attempt in (first, second):
        assert attempt.parent is not None
        assert attempt.parent.span_id == whole.context.span_id
        assert format(attempt.context.trace_id, "032x") == TRACE
        assert not attempt.status.is_ok
    assert {first.attributes["inferloom.replica"], second.attributes["inferloom.replica"]} == {"a", "b"}  # type: ignore[index]


async def test_the_replica_continues_the_attempts_span_and_gets_the_other_metadata(spans: InMemorySpanExporter) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh)
    await mesh.ask(metadata=METADATA)
    attempt, _ = spans.get_finished_spans()
    (sent,) = mesh.channel("a").sent
    assert ("x-user", "ada") in sent.metadata
    parents = [value for key, value in sent.metadata if key == "traceparent"]
    assert parents == [f"00-{TRACE}-{attempt.context.span_id:016x}-01"]


async def test_the_callers_own_fault_is_no_error_of_the_server(spans: InMemorySpanExporter) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh)
    with pytest.raises(ModelNotFound):
        await mesh.ask(model="other")
    (whole,) = spans.get_finished_spans()
    assert whole.attributes is not None
    assert whole.attributes["rpc.grpc.status_code"] == StatusCode.NOT_FOUND.value[0]
    assert whole.status.is_ok or whole.status.is_unset


async def test_without_a_provider_nothing_is_added() -> None:
    async def inner(*parts: Any) -> Reply:
        return Reply(b"")

    assert Tracing().layers == ()
    assert Tracing().attempt(inner) is inner
    Tracing().close()
    seen: list[Sent] = []

    async def answer(sent: Sent) -> Reply:
        seen.append(sent)
        return Reply(b"")

    mesh = FakeMesh([replica("a")], {"a": answer})
    await mesh.run(mesh.handle(call(mesh.clock, metadata=METADATA)))
    assert seen[0].metadata == METADATA  # forwarded as it came


def test_it_is_off_without_an_endpoint_or_when_it_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    assert from_environment("router").layers == ()
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert from_environment("router").layers == ()
