"""Bodies from nothing to the bound and beyond it, replicas that are down, and callers that upload slowly."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from inferloom.mesh.oip import MODEL_INFER
from tests.support.front import Front, infer, running_front

KIB, MIB = 1 << 10, 1 << 20
MODELS: dict[str, dict[str, list[str]]] = {"iris": {"one": ["1"], "two": ["1"]}, "wine": {"one": ["1"]}}
SIZES = (1, 60 * KIB, 70 * KIB, MIB, 16 * MIB, 17 * MIB, 64 * MIB - 100)
MALFORMED = "INVALID_ARGUMENT: the request is no message of the Open Inference Protocol: its bytes do not parse"
UPLOAD = 60 * MIB
UPLOADERS = 8


async def test_every_size_is_answered_although_one_of_two_replicas_is_down(tmp_path: Path) -> None:
    async with running_front(tmp_path, MODELS, down=["iris/two"]) as front:
        for size in SIZES:
            sent = infer(size=size)
            for _ in range(3):
                assert await front.call(sent) == "iris/one", size
                assert front.last.body == sent
                front.asked.clear()
            tensor = bytes(size)
            for _ in range(2):
                assert (await front.http("/v2/models/iris/infer", tensor))[1]["who"] == "iris/one", size
                assert front.last.body == tensor
                front.asked.clear()
        assert await front.call(b"") == "router"
        assert await front.call(b"\x00") == MALFORMED
        retried = front.envoy.stats("^cluster.model/iris.upstream_rq_retry$").values()
        assert sum(retried) > 0, "the other one was tried first at times, and nobody noticed"


async def test_without_any_replica_every_size_fails_with_unavailable(tmp_path: Path) -> None:
    async with running_front(tmp_path, MODELS, down=["iris/one", "iris/two"]) as front:
        for size in (1, 70 * KIB, 17 * MIB, 64 * MIB - 100):
            assert (await front.call(infer(size=size))).startswith("UNAVAILABLE: "), size
            assert (await front.http("/v2/models/iris/infer", bytes(size)))[0] == 503, size


async def test_beyond_the_bound_it_is_the_router_who_says_so_and_far_beyond_the_edge(tmp_path: Path) -> None:
    async with running_front(tmp_path, MODELS, max_message=MIB) as front:
        exact = infer(size=MIB - 10)
        assert len(exact) == MIB
        assert (await front.call(exact)).startswith("iris/")
        assert await front.call(exact + b"\x78\x00") == "router"
        assert (await front.call(infer(size=8 * MIB))).startswith("RESOURCE_EXHAUSTED: ")
        assert (await front.http("/v2/models/iris/infer", bytes(8 * MIB)))[0] == 413
        assert (await front.call(exact)).startswith("iris/"), "the connection lives"


async def test_slow_uploads_hinder_nobody_and_take_no_more_memory_than_they_have_sent(tmp_path: Path) -> None:
    async with running_front(tmp_path, MODELS) as front:
        await front.call(infer("wine"))
        process = psutil.Process(front.envoy.pid)
        before = process.memory_info().rss
        writers = await asyncio.gather(*(_upload(front, grpc=number % 2 == 0) for number in range(UPLOADERS)))
        try:
            await _until(lambda: process.memory_info().rss - before > UPLOADERS * UPLOAD * 0.8)
            for size in (10, MIB):
                answers = await asyncio.gather(*(front.call(infer("wine", size=size)) for _ in range(50)))
                assert set(answers) == {"wine/one"}
            assert _allocated(front) > UPLOADERS * UPLOAD * 0.8
            grown = process.memory_info().rss - before
            assert grown < UPLOADERS * UPLOAD * 1.2 + 128 * MIB, f"{grown / MIB:.0f} MiB"
        finally:
            for writer in writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
        await _until(lambda: _allocated(front) < 64 * MIB)
        assert {asked.who for asked in front.asked} == {"wine/one"}, "what never ended has reached no replica"


async def _upload(front: Front, *, grpc: bool) -> asyncio.StreamWriter:
    """Send 60 MiB of a body of 64 MiB, and leave it at that."""
    host, _, port = front.address.partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    path = MODEL_INFER.path if grpc else "/v2/models/wine/infer"
    kind = "application/grpc" if grpc else "application/json"
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {64 * MIB}\r\n\r\n"
    writer.write(head.encode())
    for _ in range(UPLOAD // MIB):
        writer.write(bytes(MIB))
        await writer.drain()
    return writer


def _allocated(front: Front) -> int:
    """Bytes that Envoy holds now."""
    return int(json.loads(front.envoy.get("/memory"))["allocated"])


async def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)
