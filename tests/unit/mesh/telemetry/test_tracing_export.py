from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from inferloom.mesh.errors import ConfigError, NoReplica
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.mesh.telemetry.tracing_export import BATCH, QUEUE, Exporting, otlp_exporting, readable
from inferloom.mesh.telemetry.tracing_span import Span, child
from inferloom.sidecar.tracing import receiver_from_environment

NEVER = 3600.0  # seconds: the thread sends when it is closed, the test before that


class Receiver:
    def __init__(self) -> None:
        self.takes = True
        self.batches: list[list[Span]] = []

    def export(self, spans: Sequence[Span]) -> bool:
        if self.takes:
            self.batches.append(list(spans))
        return self.takes


def some(count: int) -> list[Span]:
    spans: list[Span] = []
    for _ in range(count):
        with Tracing(spans.append).server("/a.B/C", ()):
            pass
    return spans


def test_a_receiver_that_does_not_answer_is_one_warning_until_it_does() -> None:
    receiver = Receiver()
    receiver.takes = False
    exporting = Exporting(receiver.export, "http://nowhere:4317", NEVER)
    with capture_logs() as logs:
        for span in some(3):
            exporting.put(span)
            exporting.send()
        assert [(each["log_level"], each["receiver"]) for each in logs] == [("warning", "http://nowhere:4317")]
        receiver.takes = True
        exporting.put(some(1)[0])
        exporting.send()
        assert (logs[-1]["event"], logs[-1]["lost"]) == ("traces are taken again", 3)
    exporting.close()
    assert len(receiver.batches) == 1


def test_spans_go_in_bounded_messages_and_of_too_many_the_oldest_are_lost() -> None:
    receiver = Receiver()
    exporting = Exporting(receiver.export, "", NEVER)
    spans = some(1) * 10 + some(1) * QUEUE
    for span in spans:
        exporting.put(span)
    exporting.close()
    assert {len(batch) for batch in receiver.batches} == {BATCH}
    assert [span for batch in receiver.batches for span in batch] == spans[10:]


def test_a_span_becomes_one_of_opentelemetry_s() -> None:
    spans: list[Span] = []
    with Tracing(spans.append).server("/a.B/C", (("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),)) as whole:
        assert whole is not None
        with child("node x", attributes={"inferloom.rows": 3}) as inner:
            assert inner is not None
            inner.link(whole)
        whole.fail(NoReplica("nobody"))
    node, server = (readable(span, Resource({"service.name": "s"})) for span in spans)
    assert (node.name, node.kind, node.attributes) == ("node x", SpanKind.INTERNAL, {"inferloom.rows": 3})
    assert node.parent == server.context == node.links[0].context
    assert (server.kind, format(server.parent.span_id, "016x")) == (SpanKind.SERVER, "b" * 16)
    assert (server.status.status_code, server.status.description) == (StatusCode.ERROR, "nobody")
    assert server.start_time <= node.start_time <= node.end_time <= server.end_time


def test_another_protocol_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(ConfigError, match="traces go over grpc"):
        otlp_exporting("router")
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_PROTOCOL")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="OTEL_BSP_SCHEDULE_DELAY=soon: it is a number of milliseconds"):
        otlp_exporting("router")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4317"}, "http://jaeger:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "jaeger:4317"}, "http://jaeger:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]:4317"}, "https://[::1]:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4317", "INFERLOOM_TRITON_OTLP": "off"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4317", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"INFERLOOM_TRITON_OTLP": "http://other:1/v1/traces"}, "http://other:1/v1/traces"),
    ],
)
def test_triton_sends_to_the_same_receiver(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "INFERLOOM_TRITON_OTLP"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert receiver_from_environment() == expected


def test_a_receiver_for_triton_that_is_no_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERLOOM_TRITON_OTLP", "jaeger")
    with pytest.raises(ConfigError, match="INFERLOOM_TRITON_OTLP=jaeger"):
        receiver_from_environment()
