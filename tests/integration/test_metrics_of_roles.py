"""Metrics and logs of real roles: a router, a sidecar with its Triton, and what happens when a replica goes."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from grpc import StatusCode
from prometheus_client.parser import text_string_to_metric_families

from inferloom.mesh.listen import free_port
from inferloom.mesh.process import Child, start
from tests.support.caller import echo_request, infer_request, stub
from tests.support.load import outcome_of
from tests.support.router import Server, running_mesh

TRACE = "0af7651916cd43dd8448eb211c80319c"
LAYERS = ("admission", "retry", "attempt")
Pair = tuple[Server, Server]


@dataclass
class Role:
    """One process with an admin face."""

    child: Child
    grpc: str
    admin: str
    errors: Path

    async def ask(self, method: str, path: str, body: str = "") -> tuple[int, str]:
        url = f"http://{self.admin}{path}"
        async with aiohttp.ClientSession() as session, session.request(method, url, data=body or None) as answer:
            return answer.status, await answer.text()

    async def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        _, text = await self.ask("GET", "/metrics")
        families = text_string_to_metric_families(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines() if line.startswith("{")]


async def role(folder: Path, *words: str) -> Role:
    ready: asyncio.Queue[str] = asyncio.Queue()
    log = folder / f"{words[0]}-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "inferloom.cli", *words, "--admin", "127.0.0.1:0"]
    child = await start(command, log_path=log, on_line=ready.put_nowait)
    async with asyncio.timeout(60):
        while not (found := re.match(r"ready (?:grpc=(\S+) )?admin=(\S+)", await ready.get())):
            pass
    return Role(child, found[1] or "", found[2], log)


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


@pytest.fixture
async def router(pair: Pair, tmp_path: Path) -> AsyncIterator[Role]:
    there, nobody = pair[0].address, f"127.0.0.1:{free_port('127.0.0.1')}"
    found = await role(tmp_path, "router", "--grpc", "127.0.0.1:0", "--registry", f"static:echo={there},gone={nobody}")
    yield found
    await found.child.stop(5)


async def test_a_failed_request_is_a_line_with_its_trace_and_the_level_changes_while_it_runs(router: Role) -> None:
    metadata = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", "r7"))
    async with stub(router.grpc) as face:
        gone = infer_request("gone", x=[1.0])
        assert (await outcome_of(face.ModelInfer(gone, metadata=metadata)))[0] is StatusCode.UNAVAILABLE
        wrong = infer_request("echo", z=[1.0])
        await outcome_of(face.ModelInfer(wrong))
        await until(lambda: len(router.lines()) >= 1)
        (line,) = (line for line in router.lines() if line["event"] == "request failed")
        assert (line["model"], line["code"], line["trace_id"], line["request_id"]) == (
            "gone",
            "UNAVAILABLE",
            TRACE,
            "r7",
        )
        assert "no replica of 'gone'" in str(line["why"])

        assert await router.ask("GET", "/loglevel") == (200, "warning\n")
        assert await router.ask("POST", "/loglevel", "info") == (200, "info\n")
        assert (await router.ask("POST", "/loglevel", "loud"))[0] == 400
        await outcome_of(face.ModelInfer(wrong))
        await until(lambda: any(line.get("code") == "INVALID_ARGUMENT" for line in router.lines()))
        (line,) = (line for line in router.lines() if line.get("code") == "INVALID_ARGUMENT")
        assert (line["model"], line["level"], line["method"]) == ("echo", "info", "ModelInfer")
        assert str(line["replica"]).startswith("127.0.0.1:")


async def test_time_in_the_layers_is_a_part_of_the_requests_time(pair: Pair) -> None:
    async with running_mesh({"a": pair[0]}) as mesh, stub(mesh.address) as face:
        for _ in range(20):
            await face.ModelInfer(echo_request())
        layers = [mesh.metric("inferloom_layer_seconds_total", model="echo", layer=name) for name in LAYERS]
        assert all(seconds > 0 for seconds in layers)
        assert sum(layers) < mesh.metric("inferloom_request_duration_seconds_sum", model="echo")
        assert mesh.metric("inferloom_attempt_duration_seconds_count", model="echo", code="OK") == 20
        assert mesh.metric("inferloom_catalog_fresh") == 1


async def test_a_replica_s_labels_are_gone_when_it_is(pair: Pair) -> None:
    async with running_mesh({"a": pair[0], "b": pair[1]}) as mesh, stub(mesh.address) as face:
        for _ in range(20):
            await face.ModelInfer(echo_request())
        assert mesh.metric("inferloom_attempt_duration_seconds_count", model="echo", replica="b") > 0
        await mesh.registrations["echo", "b"].deregister()
        await until(lambda: "b" not in mesh.router.pool.groups["echo"].endpoints)
        told = [
            s for family in mesh.router.metrics.collect() for s in family.samples if s.labels.get("model") == "echo"
        ]
        assert {s.labels["replica"] for s in told if "replica" in s.labels} == {"a"}
        assert mesh.metric("inferloom_request_duration_seconds_count", model="echo", code="OK") == 20


async def test_tritons_own_metrics_come_through_its_sidecar_with_the_replica(pair: Pair, tmp_path: Path) -> None:
    url, port = pair[0].address, str(pair[0].metrics_port)
    found = await role(
        tmp_path,
        *(
            "sidecar",
            "--triton-url",
            url,
            "--triton-metrics-port",
            port,
            "--id",
            "t0",
            "--registry",
            "static:echo=" + url,
        ),
    )
    try:
        async with asyncio.timeout(20):
            while not any(name == "nv_inference_request_success" for name, _ in await found.samples()):
                await asyncio.sleep(0.2)
        samples = await found.samples()
        models = {dict(labels)["model"] for name, labels in samples if name == "nv_inference_request_success"}
        assert "echo" in models
        assert all(("replica", "t0") in labels for name, labels in samples if name.startswith("nv_"))
        assert samples["inferloom_triton_up", frozenset()] == 1
    finally:
        await found.child.stop(1)  # a registry that is fixed takes nothing out: it would wait for it
