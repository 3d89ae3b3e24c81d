"""Spans that a service makes with OpenTelemetry's own API."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.sdk import MeshClient
from tests.support.host import WRITABLE, host_process, write_app
from tests.support.otlp import receiving
from tests.support.router import running_mesh
from tests.support.traced import asked, tracing_as

APP = """
    from opentelemetry import trace

    from inferloom.sdk import service

    tracer = trace.get_tracer("shop")


    @service
    async def price(x: float) -> float:
        with tracer.start_as_current_span("look up") as span:
            span.set_attribute("inferloom.rows", 3)
            with tracer.start_as_current_span("cache"):
                pass
        return 2 * x
"""


async def test_what_a_service_makes_is_below_the_request_it_works_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = write_app(tmp_path / "shop.py", APP)
    async with receiving() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.grpc)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        with tracing_as("router", traces) as tracing:
            async with (
                running_mesh(server=WRITABLE, tracing=tracing) as mesh,
                host_process(tmp_path, mesh.address, str(app)),
                MeshClient(mesh.address) as client,
            ):
                caller, unsampled = asked(), asked(sampled=False)
                for each in (unsampled, caller):
                    await client.infer("price", {"x": 4.0}, metadata=dict(each.metadata))
                expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client
    inferloom-host  inference.GRPCInferenceService/ModelInfer  server
      inferloom-host  look up  internal  rows=3
        inferloom-host  cache  internal
"""
                await traces.are(caller.trace, expected, "rows")
        assert traces.of(unsampled.trace) == []
