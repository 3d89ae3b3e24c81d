"""Which requests an edge traces where it traces a share, and that those go through its second listener unharmed."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from inferloom.mesh.listen import free_port
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.split import KIND, Split
from inferloom.mesh.telemetry.tree import outline
from inferloom.mesh.xds.exposures import EdgeExposures
from tests.support.front import Front, infer, running_front
from tests.support.otlp import Span, Traces, receiving
from tests.support.router import LOOPBACK
from tests.support.traced import asked

MODELS = {"iris": {"one": ["1"], "two": ["1"]}, "wine": {"one": ["1", "2"]}, "gone": {"one": ["1"]}}
SPLIT: dict[str, Any] = {"arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}], "by": "user"}
TRACE = (("x-inferloom-trace", "1"),)
MIB = 1 << 20


@asynccontextmanager
async def front_of(folder: Path, ratio: float, **more: Any) -> AsyncIterator[tuple[Front, Traces]]:
    """An edge that traces that share of the requests."""
    async with receiving() as traces:
        otlp = traces.grpc.removeprefix("http://")
        async with running_front(folder, MODELS, otlp=otlp, trace_ratio=ratio, **{"change": at_once, **more}) as front:
            yield front, traces


def at_once(config: str) -> str:
    """Envoy sends its spans every five seconds."""
    layer = {"name": "test", "static_layer": {"tracing.opentelemetry.flush_interval_ms": 50}}
    return json.dumps({**json.loads(config), "layered_runtime": {"layers": [layer]}})


def ingress(traces: Traces) -> list[Span]:
    return [span for span in traces.spans if span.name == "ingress"]


async def ended(traces: Traces, trace: str) -> list[Span]:
    """A trace's spans once there is the edge's own, which ends last."""
    end = time.monotonic() + 40
    while True:
        spans = await traces.of_trace(trace)
        if any(span.name == "ingress" for span in spans):
            return spans
        assert time.monotonic() < end, spans
        await asyncio.sleep(0.02)


def passed(front: Front) -> int:
    """How many requests have gone through the second listener."""
    return front.envoy.stats("^http.traced.downstream_rq_total$").get("http.traced.downstream_rq_total", 0)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def test_the_ratio_is_kept_and_what_is_not_taken_stays_without_a_traceparent(tmp_path: Path) -> None:
    async with front_of(tmp_path, 0.1) as (front, traces):
        for _ in range(20):
            await asyncio.gather(*(front.call(infer()) for _ in range(100)))
        taken = [each for each in front.asked if "traceparent" in each.headers]
        assert len(front.asked) == 2000
        assert 120 < len(taken) < 280  # six standard deviations
        assert passed(front) == len(taken)
        await traces.until(lambda: len(ingress(traces)) == len(taken))
        sampled = {each.headers["traceparent"].split("-")[1] for each in taken}
        assert sampled == {span.trace for span in ingress(traces)}


async def test_callers_who_have_decided_are_followed(tmp_path: Path) -> None:
    async with front_of(tmp_path, 0.0) as (front, traces):
        yes, late, no = asked(), asked(), asked(sampled=False)
        later = (("traceparent", late.metadata[0][1][:-2] + "03"),)  # a flag of level 2 beside
        for metadata in ((), yes.metadata, no.metadata, (*no.metadata, *TRACE), later, (("traceparent", "x-1"),)):
            assert (await front.call(infer(), metadata=metadata)).startswith("iris/")
        assert (await front.http("/v2/models/iris/infer", headers=dict(TRACE)))[0] == 200
        assert passed(front) == 4  # what is no traceparent goes there in vain
        await traces.until(lambda: len(ingress(traces)) == 3)
        assert {span.parent for span in ingress(traces)} == {yes.span, late.span, ""}
        assert front.asked[2].headers["traceparent"] == no.metadata[0][1]


async def test_with_a_ratio_of_one_there_is_no_second_listener(tmp_path: Path) -> None:
    async with front_of(tmp_path, 1.0) as (front, traces):
        for metadata in ((), asked(sampled=False).metadata, asked().metadata):
            assert (await front.call(infer(), metadata=metadata)).startswith("iris/")
        await traces.until(lambda: len(ingress(traces)) == 2)
        assert [each.headers["traceparent"][-2:] for each in front.asked] == ["01", "00", "01"]
        assert passed(front) == 0


async def test_a_retried_and_a_failed_request_have_their_whole_trees(tmp_path: Path) -> None:
    def tree(model: str, *tries: str, failed: bool = False) -> str:
        top = f"inferloom-edge  ingress  server  model={model}{'  ERROR' if failed else ''}"
        return "\n".join([top, *(f"  inferloom-edge  router {each} egress  client  model={model}" for each in tries)])

    async def shown(traces: Traces, trace: str) -> str:
        return outline(await ended(traces, trace), ("model",))

    async with front_of(tmp_path, 0.0, down=["iris/one", "gone/one"]) as (front, traces):
        call = asked()
        assert (await front.call(infer("gone"), metadata=call.metadata)).startswith("UNAVAILABLE")
        assert await shown(traces, call.trace) == tree("gone", *["model/gone"] * 3, failed=True)
        assert call.top(await traces.of_trace(call.trace)).attributes["client.address"]
        trees = set()
        for _ in range(30):  # the first try is at either replica
            call = asked()
            assert await front.call(infer("iris"), metadata=call.metadata) == "iris/two"
            trees.add(await shown(traces, call.trace))
            if len(trees) == 2:
                break
        assert trees == {tree("iris", "model/iris"), tree("iris", "model/iris", "model/iris")}


async def test_large_requests_and_streams_pass_through_it(tmp_path: Path) -> None:
    async with front_of(tmp_path, 0.9999999) as (front, _):
        body = infer(size=16 * MIB)
        assert (await front.call(body)).startswith("iris/")
        assert front.last.body == body
        body = secrets.token_bytes(16 * MIB)
        assert (await front.http("/v2/models/iris/infer", body=body))[0] == 200
        assert front.last.body == body
        assert (await front.talk(*[infer(size=2 * MIB) for _ in range(16)])).startswith("iris/")
        over = infer(size=69 * MIB)
        assert (await front.call(over)).startswith("RESOURCE_EXHAUSTED: the request is larger than the mesh takes")
        assert (await front.http("/v2/models/iris/infer", body=over)) == (
            413,
            {"error": "the request is larger than the mesh takes"},
        )
        assert passed(front) == 5
        assert front.envoy.stats("^cluster.traced.upstream_rq_retry$").get("cluster.traced.upstream_rq_retry", 0) == 0


async def test_who_calls_and_what_they_say_is_the_same_behind_it(tmp_path: Path) -> None:
    headers = {"x-request-id": "r1", "x-forwarded-for": "9.9.9.9", "x-inferloom-model": "wine", "x-inferloom-arm": "2"}
    async with front_of(tmp_path, 0.0) as (front, _):
        for more in ({}, dict(TRACE)):
            assert (await front.http("/v2/models/iris/infer?a=b%2Fc", headers={**headers, **more}))[0] == 200
        plain, traced = (dict(each.headers) for each in front.asked)
        assert traced.pop("traceparent")
        assert (traced.pop("x-inferloom-trace"), traced.pop("tracestate", "")) == ("1", "")
        assert traced == plain
        assert front.asked[0].path == front.asked[1].path


async def test_the_access_log_has_each_request_once(tmp_path: Path) -> None:
    async with front_of(tmp_path, 0.0, access_log="all", down=["gone/one"]) as (front, _):
        for number, (model, metadata) in enumerate(
            [("iris", ()), ("iris", TRACE), ("gone", ()), ("gone", TRACE), ("unknown", ()), ("unknown", TRACE)]
        ):
            await front.call(infer(model), metadata=[*metadata, ("x-request-id", str(number))])

        def lines() -> list[dict[str, Any]]:
            return [json.loads(line) for line in front.envoy.output.read_text().splitlines()]

        await until(lambda: len(lines()) >= 6)  # written every 10 s
        told = {line.pop("request_id"): line for line in lines()}
        assert len(lines()) == len(told) == 6
        for plain, traced in (("0", "1"), ("2", "3"), ("4", "5")):
            for key in ("cluster", "code", "grpc_status", "flags", "attempts", "path"):
                assert told[plain][key] == told[traced][key], key
        assert [told[number]["model"] for number in "012345"] == ["iris", "iris", "gone", "gone", "unknown", "unknown"]


async def test_each_split_request_is_counted_and_exposed_once(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    await registry.documents.put(KIND, "wine", SPLIT)
    router = Router(registry)
    server = RouterServer(router, ServerSettings(address=LOOPBACK), [EdgeExposures(router.splitting)])
    try:
        await router.start()
        await server.start()
        splits = {"splits": {"wine": SPLIT}, "router": str(server.address)}
        async with front_of(tmp_path, 0.5, **splits) as (front, _):
            for number in range(60):
                await front.call(infer("wine"), metadata=[("user", f"user-{number}")])
            assert 5 < passed(front) < 55
            arms = Counter(each.message.model_version for each in front.asked)
            figures = router.splitting.splits["wine"].figures
            split = Split.from_json("wine", SPLIT)

            def counted() -> dict[str, int]:
                return {arm.name: figures.of(arm).codes.get("OK", 0) for arm in split.arms}

            await until(lambda: sum(counted().values()) >= 60)
            assert counted() == arms

            def histograms() -> list[dict[str, Any]]:
                query = "/stats?format=json&histogram_buckets=detailed&filter=^inferloom"
                found = json.loads(front.envoy.get(query))["stats"]
                return [each for entry in found for each in entry["histograms"]["details"]]

            def requests() -> int:
                return sum(step["count"] for each in histograms() for step in each["totals"])

            await until(lambda: requests() >= 60)
            assert requests() == 60
            assert len({each["name"] for each in histograms()}) == len(histograms()) == 1
    finally:
        await server.drain(0.0)
        await router.close()


async def test_a_web_socket_passes_through_it(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{message.data}!")
        return socket

    application = web.Application()
    application.router.add_get("/socket", echo)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:

        def there(config: str) -> str:
            found = json.loads(config)
            (cluster,) = [each for each in found["static_resources"]["clusters"] if each["name"] == "mesh-http"]
            (group,) = cluster["load_assignment"]["endpoints"]
            group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = port
            return at_once(json.dumps(found))

        async with front_of(tmp_path, 0.0, change=there) as (front, traces):
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"http://{front.address}/socket", headers=dict(TRACE)) as socket,
            ):
                await socket.send_str("hello")
                assert await socket.receive_str() == "hello!"
            assert passed(front) == 1
            await traces.until(lambda: len(ingress(traces)) == 1)
    finally:
        await runner.cleanup()
