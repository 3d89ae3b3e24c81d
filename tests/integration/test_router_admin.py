"""`inferloom router` as a process: its admin face, its metrics, its memory, its end."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from inferloom.mesh.process import Child, start
from tests.support.caller import echo_request, infer_request, read, slow_request, stub
from tests.support.load import outcome_of
from tests.support.router import Server

Pair = tuple[Server, Server]


@dataclass
class Process:
    child: Child
    grpc: str
    admin: str

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.admin}{path}") as answer:
            return answer.status, await answer.text()

    async def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        _, text = await self.get("/metrics")
        families = text_string_to_metric_families(text)
        return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture
async def process(pair: Pair) -> AsyncIterator[Process]:
    registry = "static:" + ",".join(f"{model}={server.address}" for model in ("echo", "slow") for server in pair)
    ready: asyncio.Queue[str] = asyncio.Queue()
    command = [sys.executable, "-m", "inferloom.cli", "router", "--registry", registry]
    child = await start([*command, "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"], on_line=ready.put_nowait)
    try:
        async with asyncio.timeout(20):
            while not (found := re.match(r"ready grpc=(\S+) admin=(\S+)", await ready.get())):
                pass
        yield Process(child, found[1], found[2])
    finally:
        await child.stop(5)


async def test_its_resident_memory_after_start_is_at_most_120_mb(process: Process) -> None:
    assert psutil.Process(process.child.pid).memory_info().rss <= 120e6


async def test_it_ends_with_0_on_sigterm_once_its_calls_are_done(process: Process) -> None:
    async with stub(process.grpc) as face:
        slow = asyncio.ensure_future(outcome_of(face.ModelInfer(slow_request(0.5, 1), timeout=5)))
        await asyncio.sleep(0.2)
        process.child.signal(signal.SIGTERM)
        assert (await slow)[0].value[0] == 0
    assert await asyncio.wait_for(process.child.wait(), 3) == 0


async def test_the_admin_face_answers_all_its_paths(process: Process) -> None:
    async with stub(process.grpc) as face:
        assert read(await face.ModelInfer(echo_request())) == [1, 2]
    assert await process.get("/live") == (200, "live\n")
    assert await process.get("/ready") == (200, "ready\n")
    status, catalog = await process.get("/catalog")
    assert status == 200
    assert '"echo"' in catalog
    assert '"state": "serving"' in catalog
    status, config = await process.get("/config")
    assert status == 200
    assert '"role": "router"' in config
    assert '"max_message_mib": 64' in config
    status, stacks = await process.get("/stacks")
    assert status == 200
    assert "task follow registry" in stacks
    assert "pool.py" in stacks
    assert (await process.get("/nothing"))[0] == 404


async def test_the_metrics_say_what_callers_and_replicas_had(process: Process, pair: Pair) -> None:
    async with stub(process.grpc) as face:
        for _ in range(5):
            await face.ModelInfer(echo_request())
        await outcome_of(face.ModelInfer(echo_request(model="ecko")))
        await outcome_of(face.ModelInfer(infer_request("echo", z=[1.0])))
        slow = asyncio.ensure_future(outcome_of(face.ModelInfer(slow_request(0.5, 1), timeout=5)))
        await asyncio.sleep(0.2)
        found = await process.samples()
        await slow

    def value(name: str, **labels: str) -> float:
        return sum(each for (other, of), each in found.items() if other == name and labels.items() <= set(of))

    count = "inferloom_request_duration_seconds_count"
    assert value(count, model="echo", code="OK") == 5
    assert value(count, model="echo", code="INVALID_ARGUMENT") == 1
    assert value(count, model="(unknown)", code="NOT_FOUND") == 1
    assert value("inferloom_request_duration_seconds_bucket", model="echo", code="OK", le="+Inf") == 5
    assert 0 < value("inferloom_request_duration_seconds_sum", model="echo", code="OK") < 5
    assert value("inferloom_replica_in_flight", model="slow") == 1
    assert value("inferloom_in_flight_requests") == 1
    assert value("inferloom_in_flight_bytes") > 20
    assert value("inferloom_replica_latency_seconds", model="echo") > 0
    for server in pair:
        assert value("inferloom_replica_state", model="echo", replica=server.address, state="closed") == 1
        assert value("inferloom_replica_usable", model="echo", replica=server.address) == 1
    names = {name for name, _ in found}
    assert {"inferloom_catalog_age_seconds", "inferloom_catalog_models", "inferloom_retry_budget_tokens"} <= names
    assert {"inferloom_event_loop_lag_seconds", "process_resident_memory_bytes", "process_open_fds"} <= names
    assert value("inferloom_attempt_failures_total", model="echo", code="INVALID_ARGUMENT") == 1
    assert value("inferloom_info", role="router") == 1


async def test_the_event_loops_lag_is_seen(process: Process) -> None:
    """A process that was stopped for a second was late by as much."""
    lag = ("inferloom_event_loop_lag_seconds", frozenset({("role", "router")}))
    assert (await process.samples())[lag] < 0.5
    psutil.Process(process.child.pid).suspend()
    await asyncio.sleep(1.0)
    psutil.Process(process.child.pid).resume()
    began = time.monotonic()
    while (await process.samples())[lag] < 0.4:
        assert time.monotonic() - began < 1.0
        await asyncio.sleep(0.02)
