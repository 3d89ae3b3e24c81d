"""The edge in traces: Envoy's spans above those of the replicas that it reaches itself, and of the router."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.support.caller import Talk, echo_request, read, stub
from tests.support.edge import running_edge
from tests.support.otlp import Span
from tests.support.router import running_mesh
from tests.support.traced import Traced, asked, traced_servers, tracing_as

SHOWN = ("model", "attempt", "replica")


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_servers(tmp_path_factory.mktemp("traced")) as found:
        yield found


async def test_a_call_through_the_edge_is_one_trace_and_one_that_asks_is_traced_at_any_ratio(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    otlp = traced.traces.grpc.removeprefix("http://")
    with tracing_as("router", traced.traces, ratio=0.0) as tracing:
        async with (
            running_mesh({"one": traced.one}, tracing=tracing) as mesh,
            running_edge(mesh, control_options=["--otlp", otlp]) as gateway,
            stub(gateway.address) as face,
        ):
            await gateway.edge.reaches("echo")
            caller = asked()
            await face.ModelInfer(echo_request(), metadata=caller.metadata)
            cluster = "router model/echo egress"
            expected = f"""
inferloom-edge  ingress  server  model=echo
  inferloom-edge  {cluster}  client  model=echo
    triton  InferRequest  server
      triton  echo  server
        triton  compute  server
"""
            spans = await traced.traces.are(caller.trace, expected, *SHOWN)
            assert caller.top(spans).attributes["grpc.status_code"] == "0"

            seen = len(traced.traces.spans)
            await face.ModelInfer(echo_request())
            await face.ModelInfer(echo_request(), metadata=(("x-inferloom-trace", "1"),))
            await traced.traces.until(lambda: len(edges(traced.traces.spans[seen:])) >= 2)
            (trace,) = {span.trace for span in edges(traced.traces.spans[seen:])}
            await traced.traces.are(trace, expected, *SHOWN)

            caller = asked()
            async with Talk(face, metadata=caller.metadata) as talk:
                for number in range(2):
                    await talk.say(echo_request([number]))
                    assert read((await talk.hear()).infer_response) == [number]
                await talk.call.done_writing()
                assert await talk.call.code() is grpc.StatusCode.OK
            each = "".join(expected.splitlines(keepends=True)[-3:])  # of Triton's, for a message
            await traced.traces.are(caller.trace, expected + each, *SHOWN)


def edges(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.service == "inferloom-edge"]
