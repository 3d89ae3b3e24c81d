"""What an edge counts of the requests that it sends to replicas itself, as its control plane tells it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
from grpc import StatusCode
from prometheus_client.parser import text_string_to_metric_families

from tests.support.caller import Talk, echo_request, infer_request, slow_request, stub
from tests.support.edge import Control, running_edge
from tests.support.load import outcome_of
from tests.support.router import Server, running_mesh

TRACE = "0af7651916cd43dd8448eb211c80319c"
REQUESTS = "inferloom_request_duration_seconds_count"
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def samples(control: Control) -> Samples:
    async with aiohttp.ClientSession() as session, session.get(f"http://{control.said['admin']}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def told(found: Samples, name: str, **labels: str) -> float:
    """The sum of what has these labels."""
    return sum(value for (other, has), value in found.items() if other == name and labels.items() <= set(has))


async def until(control: Control, name: str, value: float, **labels: str) -> Samples:
    """Envoy's threads are read every two seconds, and Envoy itself every three."""
    end = time.monotonic() + 40
    while True:
        found = await samples(control)
        if told(found, name, **labels) == value:
            return found
        assert time.monotonic() < end, (name, labels, [entry for entry in found.items() if entry[0][0] == name])
        await asyncio.sleep(0.2)


async def test_requests_that_an_edge_sends_to_replicas_itself_are_counted_as_a_router_counts_them(
    pair: tuple[Server, Server], tmp_path: Path
) -> None:
    async with running_mesh({"a": pair[0], "b": pair[1]}) as mesh:
        await mesh.registry.documents.put("policy", "slow", {"objective": {"latency": "500ms"}, "timeout": "2s"})
        async with running_edge(mesh, folder=tmp_path) as gateway, stub(gateway.address) as face:
            await gateway.edge.reaches("echo", 2)
            await gateway.edge.reaches("slow", 2)
            for _ in range(20):
                await face.ModelInfer(echo_request())
            assert (await outcome_of(face.ModelInfer(infer_request("echo", z=[1.0]))))[0] is StatusCode.INVALID_ARGUMENT
            assert (await outcome_of(face.ModelInfer(infer_request("nobody", x=[1.0]))))[0] is StatusCode.NOT_FOUND
            await face.ModelInfer(echo_request(), metadata=(("x-inferloom-explain", "1"),))  # the router explains
            for seconds in (0.0, 0.0, 0.0, 0.7, 0.7):
                await face.ModelInfer(slow_request(seconds, 1))
            trace = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
            late = await outcome_of(face.ModelInfer(slow_request(3.0, 2), metadata=trace))
            assert late[0] is StatusCode.DEADLINE_EXCEEDED
            given_up = face.ModelInfer(slow_request(0.5, 3))
            await asyncio.sleep(0.1)
            given_up.cancel()

            found = await until(gateway.control, REQUESTS, 7, model="slow")
            assert told(found, REQUESTS, model="slow", code="OK") == 5
            assert told(found, REQUESTS, model="slow", code="DEADLINE_EXCEEDED") == 1
            assert told(found, REQUESTS, model="slow", code="CANCELLED") == 1
            assert told(found, "inferloom_objective_slow_total", model="slow") == 2
            assert told(found, "inferloom_request_duration_seconds_bucket", model="slow", code="OK", le="0.5") == 3
            assert told(found, "inferloom_request_duration_seconds_bucket", model="slow", code="OK", le="2.5") == 5
            assert told(found, REQUESTS, model="echo", code="OK") == 20
            assert told(found, REQUESTS, model="echo", code="INVALID_ARGUMENT") == 1
            assert told(found, REQUESTS) == 28  # what the router has answered is not among them
            attempts = {r: told(found, "inferloom_edge_attempts_total", model="echo", replica=r) for r in "ab"}
            assert sum(attempts.values()) == 21
            assert min(attempts.values()) > 0
            assert told(found, "inferloom_edge_up") == 1
            assert mesh.metric(REQUESTS, model="echo", code="OK") == 1
            assert mesh.metric(REQUESTS, model="(unknown)", code="NOT_FOUND") == 1

    lines = [json.loads(line) for line in (tmp_path / "edge.log").read_text().splitlines() if line.startswith("{")]
    (line,) = (line for line in lines if line["grpc_status"] == "DEADLINE_EXCEEDED")
    assert (line["model"], TRACE in line["traceparent"]) == ("slow", True)
    assert line["replica"] in (pair[0].address, pair[1].address)
    assert line["why"] in (
        "downstream duration timeout",
        "Deadline Exceeded",
    )  # Envoy, or Triton, which knows the deadline


async def test_a_stream_counts_once_and_a_split_for_the_model_that_was_asked(pair: tuple[Server, Server]) -> None:
    arms = [{"name": "old", "share": 0.5, "version": "1"}, {"name": "other", "share": 0.5, "model": "echo"}]
    async with running_mesh({"a": pair[0], "b": pair[1]}) as mesh:
        await mesh.registry.documents.put("split", "versioned", {"arms": arms})
        async with running_edge(mesh) as gateway, stub(gateway.address) as face:
            await gateway.edge.reaches("echo", 2)
            await gateway.edge.reaches("versioned", 2)
            for _ in range(20):
                await face.ModelInfer(echo_request(model="versioned"))
            async with Talk(face) as talk:
                for _ in range(3):
                    await talk.say(echo_request())
                    await talk.hear()
                await talk.call.done_writing()
                assert await talk.call.code() is StatusCode.OK
            found = await until(gateway.control, REQUESTS, 1, model="echo")
            assert told(found, REQUESTS, model="echo", kind="stream", code="OK") == 1
            await until(gateway.control, REQUESTS, 20, model="versioned", code="OK")
