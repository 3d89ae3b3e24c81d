"""A sidecar's operations as traces of their own, and its Triton's part of the callers'."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.sidecar.triton import TritonClient
from tests.support.otlp import Span, traces_received
from tests.support.sidecar import BAD, request, running, write_model
from tests.support.traced import tracing_as


async def test_starting_loading_and_draining_are_traces_and_so_is_why_a_model_is_not_served(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    write_model(tmp_path, "broken", source=BAD)
    with traces_received() as traces, tracing_as("sidecar", traces) as tracing:
        tracing.activate()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INFERLOOM_TRITON_OTLP", traces.http)
            async with running(tmp_path) as it:
                replica = await it.serving("double", "1")
                await traces.until(lambda: bool(of(traces.spans, "load broken")))
                client = TritonClient(replica.host, replica.port)
                await client.infer(request("double", "1"), 20.0)
                await client.close()

        await traces.until(lambda: bool(of(traces.spans, "drain")))
        (start,) = of(traces.spans, "start Triton")
        (load,) = of(traces.spans, "load double")
        (bad,) = of(traces.spans, "load broken")
        assert (start.parent, start.status, start.attributes["inferloom.generation"]) == ("", 0, 1)
        assert (load.status, load.attributes["inferloom.versions"]) == (0, "1")
        assert {span.name for span in traces.of(load.trace)} == {
            "load double",
            "triton load double",
            "first request double",
        }
        assert {span.parent for span in traces.of(load.trace) if span is not load} == {load.id}
        assert bad.status == 2
        assert "this model is broken" in bad.message
        assert not [span for span in traces.spans if span.service == "triton"]  # nobody sent it a trace


def of(spans: list[Span], name: str) -> list[Span]:
    return [span for span in spans if (span.service, span.name) == ("inferloom-sidecar", name)]
