from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from grpc import StatusCode

from inferloom.mesh.call import Reply
from inferloom.mesh.clock import seeded
from inferloom.mesh.errors import ConfigError, ModelNotFound, ReplicaError
from inferloom.mesh.policy import Retrying, TrafficPolicy
from inferloom.mesh.router.stack import assemble
from inferloom.mesh.telemetry.tracing import ENDPOINTS, Tracing, from_environment
from inferloom.mesh.telemetry.tracing_context import Remote, onwards, remote_of
from inferloom.mesh.telemetry.tracing_sampling import Sampler, sampler_from_environment
from inferloom.mesh.telemetry.tracing_span import Kind, Span, child, current, trace_id
from tests.unit.mesh.fakes import FakeMesh, Sent, call, fails, replica

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TWO_TRIES = TrafficPolicy(retry=Retrying(attempts=2))
METADATA = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-user", "ada"))
UNSAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-00"),)
GONE = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
ALL = Sampler()
RPC = "inference.GRPCInferenceService/ModelInfer"


@pytest.fixture
def spans() -> list[Span]:
    return []


def traced(spans: list[Span], mesh: FakeMesh, sampler: Sampler = ALL) -> Tracing:
    tracing = Tracing(spans.append, sampler, clock=mesh.clock)
    mesh.handle = assemble(mesh.pool, mesh.admission, mesh.clock, seeded(1), mesh.metrics, tracing)
    return tracing


def failing() -> FakeMesh:
    return FakeMesh([replica("a"), replica("b")], {key: fails(GONE) for key in "ab"}, TWO_TRIES)


async def test_a_call_and_its_attempts_are_one_tree_below_the_callers_span(spans: list[Span]) -> None:
    mesh = failing()
    traced(spans, mesh)
    with pytest.raises(ReplicaError):
        await mesh.ask(metadata=METADATA)
    first, second, whole = spans
    assert [(span.name, span.kind) for span in spans] == [(RPC, Kind.CLIENT)] * 2 + [(RPC, Kind.SERVER)]
    assert (whole.parent, whole.is_error) == (PARENT, True)
    for attempt in (first, second):
        assert (attempt.parent, attempt.trace.id, attempt.is_error) == (whole.id, TRACE, True)
    assert {first.attributes["inferloom.replica"], second.attributes["inferloom.replica"]} == {"a", "b"}
    assert [span.attributes["inferloom.attempt"] for span in (first, second)] == [1, 2]


async def test_the_replica_continues_the_attempts_span_and_gets_the_other_metadata(spans: list[Span]) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh)
    await mesh.ask(metadata=METADATA)
    attempt, whole = spans
    (sent,) = mesh.channel("a").sent
    assert ("x-user", "ada") in sent.metadata
    assert [value for key, value in sent.metadata if key == "traceparent"] == [f"00-{TRACE}-{attempt.id}-01"]
    assert attempt.attributes["rpc.grpc.status_code"] == whole.attributes["rpc.grpc.status_code"] == 0


async def test_a_triton_hears_nothing_of_a_trace_that_is_not_sampled(spans: list[Span]) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh)
    await mesh.ask(metadata=(*UNSAMPLED, ("baggage", "k=v")))
    (sent,) = mesh.channel("a").sent
    assert sent.metadata == (("baggage", "k=v"),)
    assert spans == []


async def test_what_fails_is_exported_though_it_is_not_sampled(spans: list[Span]) -> None:
    mesh = failing()
    traced(spans, mesh, Sampler(0.0))
    with pytest.raises(ReplicaError):
        await mesh.ask()
    assert [span.name for span in spans] == [RPC] * 3
    assert len({span.trace.id for span in spans}) == 1
    spans.clear()
    with pytest.raises(ModelNotFound):
        await mesh.ask(model="other")
    assert spans == []  # the caller's own fault


async def test_a_request_that_asks_is_traced_whatever_the_ratio(spans: list[Span]) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh, Sampler(0.0))
    await mesh.ask(metadata=(*UNSAMPLED, ("x-inferloom-trace", "1")))
    attempt, whole = spans
    assert (whole.trace.id, whole.parent) == (TRACE, PARENT)
    (sent,) = mesh.channel("a").sent
    assert ("traceparent", f"00-{TRACE}-{attempt.id}-01") in sent.metadata


async def test_the_callers_own_fault_is_no_error_of_the_server(spans: list[Span]) -> None:
    mesh = FakeMesh([replica("a")])
    traced(spans, mesh)
    with pytest.raises(ModelNotFound):
        await mesh.ask(model="other")
    (whole,) = spans
    assert whole.attributes["rpc.grpc.status_code"] == StatusCode.NOT_FOUND.value[0]
    assert whole.attributes["error.type"] == "NOT_FOUND"
    assert not whole.is_error


async def test_a_cancelled_call_is_marked_as_such_and_a_late_one_as_late(spans: list[Span]) -> None:
    async def never(sent: Sent) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    for passed, cancelled in ((0.0, True), (3600.0, None)):
        mesh = FakeMesh([replica("a")], {"a": never})
        traced(spans, mesh)
        asking = asyncio.create_task(mesh.handle(call(mesh.clock, metadata=METADATA)))
        while not mesh.channel("a").sent:
            await asyncio.sleep(0)
        await mesh.clock.advance(passed)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        attempt, whole = spans
        assert attempt.attributes["inferloom.cancelled"] is True
        assert whole.attributes.get("inferloom.cancelled") is cancelled
        assert whole.is_error is (cancelled is None)
        spans.clear()


async def test_inside_a_process_a_call_is_part_of_what_is_under_way(spans: list[Span]) -> None:
    mesh = FakeMesh([replica("a")])
    tracing = traced(spans, mesh)
    with tracing.server("/inferloom.v1.TypedService/Call", METADATA) as whole:
        assert whole is not None
        assert trace_id() == TRACE
        await mesh.ask()
    attempt, inside, last = spans
    assert (inside.name, inside.kind, inside.parent) == ("call iris", Kind.INTERNAL, whole.id)
    assert (attempt.parent, last) == (inside.id, whole)
    assert current.get() is None


def test_of_a_trace_that_nobody_has_decided_on_a_bounded_number_of_spans_is_kept(spans: list[Span]) -> None:
    tracing = Tracing(spans.append, Sampler(0.0))
    with tracing.server("/a.B/C", ()) as whole:
        for number in range(1000):
            with child(f"message {number}"):
                pass
        assert whole is not None
        whole.fail(GONE)
    assert len(spans) == 257
    assert spans[-1].attributes["inferloom.spans_dropped"] == 744


def test_a_mirror_that_ends_after_its_request_is_exported_with_it(spans: list[Span]) -> None:
    for ratio, count in ((1.0, 2), (0.0, 0)):
        tracing = Tracing(spans.append, Sampler(ratio))
        with tracing.server("/a.B/C", ()) as whole:
            assert whole is not None
            late = whole.child("late")
        late.end()
        late.end()
        assert len(spans) == count
        spans.clear()


async def test_without_a_sink_nothing_is_added() -> None:
    async def inner(*parts: Any) -> Reply:
        return Reply(b"")

    assert Tracing().layers == ()
    assert Tracing().attempt(inner) is inner
    Tracing().close()
    with child("anything") as span:
        assert span is None
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
    assert not from_environment("router").on
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not from_environment("router").on


@pytest.mark.parametrize(
    "text",
    [
        f"00-{TRACE}-{PARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(text: str) -> None:
    assert remote_of((("traceparent", text),)) is None


def test_a_traceparent_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert remote_of((("traceparent", f"01-{TRACE}-{PARENT}-03-more"),)) == Remote(TRACE, PARENT, True)
    assert remote_of(METADATA + METADATA) is None  # two
    assert onwards((*METADATA, ("tracestate", "a=b")), "") == (("x-user", "ada"), ("tracestate", "a=b"))


def test_all_processes_sample_the_same_traces() -> None:
    low, high = 1, 2**64 - 1
    assert Sampler(0.01)(low, None)
    assert not Sampler(0.01)(high, None)
    assert Sampler(0.01)(high, Remote(TRACE, PARENT, True))
    assert not Sampler(0.01, parent_based=False)(high, Remote(TRACE, PARENT, True))


def test_the_sampler_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    monkeypatch.delenv("OTEL_TRACES_SAMPLER_ARG", raising=False)
    assert sampler_from_environment() == Sampler(1.0)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.01")
    assert sampler_from_environment() == Sampler(0.01)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    assert sampler_from_environment() == Sampler(0.01, parent_based=False)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    assert sampler_from_environment() == Sampler(0.0, parent_based=False)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "jaeger_remote")
    with pytest.raises(ConfigError, match="jaeger_remote: there are always_on"):
        sampler_from_environment()
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1 %")
    with pytest.raises(ConfigError, match="a ratio of traces is 0 to 1"):
        sampler_from_environment()


async def test_what_is_thrown_away_leaves_nothing_to_the_garbage_collector() -> None:
    mesh = FakeMesh([replica("a")])
    spans: list[Span] = []
    traced(spans, mesh, Sampler(0.0))
    await mesh.ask()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        await mesh.ask()
        assert alive() == before
    finally:
        gc.enable()


def alive() -> int:
    return sum(isinstance(each, Span) for each in gc.get_objects())
