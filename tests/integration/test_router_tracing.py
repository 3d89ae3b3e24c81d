"""Tracing that is off, and a receiver that does not answer."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest
from structlog.testing import capture_logs

from inferloom.mesh.telemetry.tracing import from_environment
from tests.support.caller import echo_request, stub
from tests.support.router import Server, running_mesh


async def test_a_receiver_that_does_not_answer_is_one_warning_and_nothing_waits_for_it(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    with capture_logs() as logs:
        tracing = from_environment("inferloom-router")
        async with running_mesh({"one": pair[0]}, tracing=tracing) as mesh, stub(mesh.address) as face:
            end = time.monotonic() + 30
            while not (lost := [each for each in logs if "traces are lost" in each["event"]]):
                await face.ModelInfer(echo_request(), timeout=5)
                assert time.monotonic() < end
            for _ in range(200):
                await face.ModelInfer(echo_request(), timeout=5)
        began = time.monotonic()
        await asyncio.to_thread(tracing.close)
        assert time.monotonic() - began < 8
    assert [each["receiver"] for each in lost] == ["http://127.0.0.1:1"]
    assert len([each for each in logs if "traces" in each["event"]]) == 1


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
