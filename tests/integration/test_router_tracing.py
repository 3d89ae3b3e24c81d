"""One trace from the caller through the router to Triton."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from inferloom.mesh.telemetry.tracing import Tracing, from_environment
from tests.support.caller import echo_request, slow_request, stub
from tests.support.load import outcome_of
from tests.support.otlp import Span, receiving
from tests.support.router import running_mesh, running_server

SERVER, CLIENT = 2, 3  # OTLP's kinds of spans
ERROR = 2


async def test_the_callers_span_the_routers_the_attempts_and_tritons_are_one_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as traces:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.grpc)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        options = [
            "mode=opentelemetry", "rate=1", "level=TIMESTAMPS", f"opentelemetry,url={traces.http}",
            "opentelemetry,resource=service.name=triton", "opentelemetry,bsp_schedule_delay=100",
        ]  # fmt: skip
        extra = [f"--trace-config={option}" for option in options]
        tracing = from_environment("inferloom-router")
        with running_server(tmp_path, ["echo", "slow"], extra) as triton:
            async with running_mesh({"one": triton}, tracing=tracing) as mesh, stub(mesh.address) as face:
                # Triton 2.51 now and then begins a trace of its own (1 of 72 requests that were sent to it directly).
                calls = {secrets.token_hex(16): secrets.token_hex(8) for _ in range(5)}
                for trace, caller in calls.items():
                    await face.ModelInfer(echo_request(), metadata=(("traceparent", f"00-{trace}-{caller}-01"),))
                await traces.until(lambda: all(len(routers(traces.of(trace))) == 2 for trace in calls))
                await traces.until(lambda: any(continued(traces.of(trace)) for trace in calls))
                trace, caller = next((trace, calls[trace]) for trace in calls if continued(traces.of(trace)))
                by_name = {span.name: span for span in traces.of(trace) if span.service == "inferloom-router"}
                call, attempt = by_name["inference.GRPCInferenceService/ModelInfer"], by_name["attempt"]
                assert (call.parent, call.kind, call.status) == (caller, SERVER, 0)
                assert call.attributes["inferloom.model"] == "echo"
                assert call.attributes["rpc.grpc.status_code"] == 0
                assert (attempt.parent, attempt.kind) == (call.id, CLIENT)
                assert (attempt.attributes["inferloom.replica"], attempt.attributes["server.port"]) == (
                    "one",
                    triton.port,
                )
                spans = [span for span in traces.of(trace) if span.service == "triton"]
                assert [span.parent for span in spans if span.name == "InferRequest"] == [attempt.id]

                # A caller without a trace begins one; what fails, or is cut short, is said in it.
                before = len(traces.spans)
                await outcome_of(face.ModelInfer(slow_request(2.0, 1), timeout=0.2))
                await traces.until(lambda: len(routers(traces.spans[before:])) == 2)
                late = {span.name: span for span in routers(traces.spans[before:])}
                assert {span.trace for span in late.values()} == {late["attempt"].trace} != {trace}
                assert late["attempt"].status == ERROR or late["attempt"].attributes.get("inferloom.cancelled")

                triton.kill()
                await asyncio.sleep(0.3)
                before = len(traces.spans)
                await outcome_of(face.ModelInfer(echo_request(), timeout=2))
                await traces.until(lambda: len(routers(traces.spans[before:])) == 1)
                refused = routers(traces.spans[before:])[0]
                assert (refused.attributes["rpc.grpc.status_code"], refused.status) == (14, ERROR)
        await asyncio.to_thread(tracing.close)


def continued(spans: list[Span]) -> bool:
    return "InferRequest" in {span.name for span in spans}


def routers(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.service == "inferloom-router"]


async def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert from_environment("router").layers == Tracing().layers == ()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert from_environment("router").layers == ()


async def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    code = (
        "import sys, inferloom.cli.router, inferloom.mesh.registry.remote\n"
        "from inferloom.mesh.telemetry.tracing import from_environment\n"
        "from_environment('router')\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
