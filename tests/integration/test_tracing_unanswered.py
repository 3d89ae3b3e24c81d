"""A receiver of traces that takes connections and says nothing: one warning, and nothing slower."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from inferloom.mesh.telemetry.tracing import from_environment
from tests.support.caller import echo_request, stub
from tests.support.router import Server, running_mesh

CALLS = 200
SLACK = 0.002  # seconds; other tests run beside this one


async def test_a_receiver_that_never_answers_is_one_warning_and_makes_nothing_slower(
    pair: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = {"one": pair[0]}
    with capture_logs() as logs, socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")  # longer than the end of a process waits
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
        tracing = from_environment("inferloom-router")
        async with (
            running_mesh(servers) as plain,
            running_mesh(servers, tracing=tracing) as traced,
            stub(plain.address) as without,
            stub(traced.address) as with_traces,
        ):
            times: dict[Any, list[float]] = {without: [], with_traces: []}
            for _ in range(CALLS):  # by turns: what slows one down slows the other down too
                for face, each in times.items():
                    began = time.perf_counter()
                    await face.ModelInfer(echo_request(), timeout=20)
                    each.append(time.perf_counter() - began)
            assert statistics.median(times[with_traces]) <= 2 * statistics.median(times[without]) + SLACK
            end = time.monotonic() + 30
            while not warnings(logs):
                assert time.monotonic() < end
                await asyncio.sleep(0.05)
            await with_traces.ModelInfer(echo_request(), timeout=20)  # has the exporter try again
        began = time.monotonic()
        await asyncio.to_thread(tracing.close)
        assert time.monotonic() - began < 4
        silent.settimeout(1)
        silent.accept()[0].close()  # it has been asked
    assert len(warnings(logs)) == 1


def warnings(logs: list[Any]) -> list[Any]:
    return [each for each in logs if "traces" in each["event"]]
