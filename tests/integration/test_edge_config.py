"""What the compiler makes, in a real Envoy: balancing, retries, time-outs, bounds, ejection, and what Envoy answers itself.

The servers behind it are made to have faults; that real Tritons are served is seen in the tests of the edge.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import Catalog, Model, Replica
from inferloom.mesh.errors import REASON_KEY
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.oip import MODEL_INFER, MODEL_STREAM_INFER, pb
from inferloom.mesh.policy import Balancing, Breaking, Locality, Retrying, TrafficPolicy
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.resources import Compiler
from inferloom.v1 import mesh_pb2
from tests.support.consul import until
from tests.support.envoy import Envoy, running_envoy, validate
from tests.support.faulty import Faulty, answering, failing, silent
from tests.support.static_edge import static_bootstrap

MIB = 1 << 20
ONCE = Retrying(attempts=1)
DEFAULT = TrafficPolicy()


@dataclass
class Edge:
    """A running edge, and who is behind it."""

    envoy: Envoy
    address: str
    channel: grpc.aio.Channel

    def infer(self, model: str = "iris", *, version: str = "", size: int = 0, **options: Any) -> Any:
        """A call of ModelInfer."""
        request = pb.ModelInferRequest(model_name=model, model_version=version)
        if size:
            request.raw_input_contents.append(bytes(size))
        call = self.channel.unary_unary(MODEL_INFER.path, _bytes, pb.ModelInferResponse.FromString)
        options.setdefault("timeout", 30)
        return call(request, **options)

    async def ask(self, count: int, model: str = "iris", **options: Any) -> list[str]:
        """Who answered, of so many calls one after the other; the code's name where one failed."""
        return [await _outcome(self.infer(model, **options)) for _ in range(count)]

    def http(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(f"http://{self.address}{path}", body or None, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()


@dataclass
class Behind:
    one: Faulty
    two: Faulty
    router: Faulty
    folder: Path

    @contextmanager
    def edge(
        self,
        policy: TrafficPolicy = DEFAULT,
        *replicas: Replica,
        settings: Mapping[str, Any] = {},
        policies: Mapping[str, TrafficPolicy] = {},
    ) -> Iterator[tuple[Envoy, str]]:
        catalog = Catalog.build(replicas or (self.replica(self.one), self.replica(self.two)))
        address = f"127.0.0.1:{free_port()}"
        compiler = Compiler(
            EdgeSettings(
                listen=Address("127.0.0.1", int(address.rpartition(":")[2])),
                router=f"127.0.0.1:{self.router.port}",
                http="127.0.0.1:1",  # nobody
                **settings,
            )
        )

        def of(model: Model) -> TrafficPolicy:
            return policies.get(model.name, policy)

        with running_envoy(static_bootstrap(compiler.compile(catalog, of, {})), self.folder) as envoy:
            yield envoy, address

    def replica(self, server: Faulty, model: str = "iris", **fields: Any) -> Replica:
        return Replica(model, server.name, "127.0.0.1", server.port, **({"versions": ("1",)} | fields))


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Behind]:
    async with Faulty("one") as one, Faulty("two") as two, Faulty("router") as router:
        yield Behind(one, two, router, tmp_path)


@pytest.fixture
async def start(behind: Behind) -> AsyncIterator[Any]:
    """Starts an edge in front of them; at most one in each test."""
    opened: list[tuple[Any, grpc.aio.Channel]] = []

    async def begin(*arguments: Any, **options: Any) -> Edge:
        context = behind.edge(*arguments, **options)
        envoy, address = context.__enter__()
        limits = [("grpc.max_send_message_length", 128 * MIB), ("grpc.enable_retries", 0)]
        channel = grpc.aio.insecure_channel(address, options=limits)
        opened.append((context, channel))
        return Edge(envoy, address, channel)

    yield begin
    for context, channel in opened:
        await channel.close(None)
        context.__exit__(None, None, None)


async def test_requests_are_shared_by_the_replicas(behind: Behind, start: Any) -> None:
    edge = await start()
    answered = await asyncio.gather(*(_outcome(edge.infer()) for _ in range(60)))
    assert set(answered) == {"one", "two"}
    assert min(answered.count("one"), answered.count("two")) >= 10


async def test_a_heavier_replica_gets_its_share(behind: Behind, start: Any) -> None:
    light, heavy = behind.replica(behind.one, weight=0.1), behind.replica(behind.two, weight=0.9)
    edge = await start(TrafficPolicy(balancing=Balancing.ROUND_ROBIN), light, heavy)
    assert (await edge.ask(50)).count("two") == 45


async def test_a_killed_replica_costs_no_request(behind: Behind, start: Any) -> None:
    edge = await start()
    calls = [asyncio.create_task(edge.ask(40)) for _ in range(8)]
    await until(lambda: behind.one.seen > 40)
    await behind.one.stop()
    answered = [each for found in await asyncio.gather(*calls) for each in found]
    assert set(answered) <= {"one", "two"}
    await behind.one.start()


async def test_without_retries_the_caller_sees_that_no_server_answered(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(retry=ONCE), behind.replica(behind.one))
    await behind.one.stop()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await edge.infer()
    assert failed.value.code() is StatusCode.UNAVAILABLE
    assert "model/iris: no answer" in str(failed.value.details())
    await behind.one.start()


async def test_a_request_that_may_have_begun_is_repeated_only_where_the_policy_says_so(
    behind: Behind, start: Any
) -> None:
    behind.one.behaviour = behind.two.behaviour = silent
    edge = await start(TrafficPolicy(idempotent=False))
    call = asyncio.create_task(_outcome(edge.infer()))
    await until(lambda: behind.one.seen + behind.two.seen == 1)
    begun = behind.one if behind.one.seen else behind.two
    await begun.stop()
    assert await call == "UNAVAILABLE"
    assert behind.one.seen + behind.two.seen == 1
    await begun.start()


async def test_what_was_shed_is_asked_elsewhere(behind: Behind, start: Any) -> None:
    behind.one.behaviour = failing(StatusCode.RESOURCE_EXHAUSTED, (REASON_KEY, "shed"))
    edge = await start()
    assert set(await edge.ask(20)) == {"two"}
    assert behind.one.seen > 0


async def test_a_quota_is_the_replicas_own_answer(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = failing(StatusCode.RESOURCE_EXHAUSTED, (REASON_KEY, "quota"))
    edge = await start()
    assert await edge.ask(1) == ["RESOURCE_EXHAUSTED"]
    assert behind.one.seen + behind.two.seen == 1


async def test_a_try_that_takes_too_long_is_made_elsewhere(behind: Behind, start: Any) -> None:
    behind.one.behaviour = silent
    edge = await start(TrafficPolicy(attempt_timeout=0.2))
    assert set(await edge.ask(4)) == {"two"}
    behind.two.behaviour = silent
    assert await edge.ask(1) == ["DEADLINE_EXCEEDED"]


async def test_a_request_without_a_deadline_gets_the_policys(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = silent
    edge = await start(TrafficPolicy(timeout=0.3))
    began = time.monotonic()
    assert await edge.ask(1, timeout=None) == ["DEADLINE_EXCEEDED"]
    assert time.monotonic() - began < 10


async def test_a_callers_deadline_is_capped(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = silent
    edge = await start(TrafficPolicy(timeout=0.2, longest=0.4))
    began = time.monotonic()
    assert await edge.ask(1, timeout=60) == ["DEADLINE_EXCEEDED"]
    assert 0.35 < time.monotonic() - began < 10


async def test_a_callers_deadline_reaches_the_replica(behind: Behind, start: Any) -> None:
    left: list[float] = []

    async def look(server: Faulty, request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return await answering(server, request, context)

    behind.one.behaviour = behind.two.behaviour = look
    edge = await start()
    await edge.ask(1, timeout=20)
    assert 10 < left[0] <= 20


async def test_more_requests_than_the_policy_allows_are_shed(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = silent
    edge = await start(TrafficPolicy(concurrency=2, retry=ONCE))
    held = [asyncio.create_task(_outcome(edge.infer())) for _ in range(2)]
    await until(lambda: behind.one.seen + behind.two.seen == 2)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await edge.infer()
    assert failed.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert _reason(failed.value) == "shed"
    behind.one.told.set()
    behind.two.told.set()
    assert set(await asyncio.gather(*held)) <= {"one", "two"}


async def test_a_replica_that_fails_again_and_again_is_out(behind: Behind, start: Any) -> None:
    behind.one.behaviour = failing(StatusCode.UNAVAILABLE)
    edge = await start(TrafficPolicy(retry=ONCE, health=Breaking(base=300), balancing=Balancing.ROUND_ROBIN))
    assert set(await edge.ask(30)) == {"two", "UNAVAILABLE"}
    seen = behind.one.seen
    assert seen < 10
    assert set(await edge.ask(20)) == {"two"}
    assert behind.one.seen == seen


async def test_of_two_bad_replicas_one_stays(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = failing(StatusCode.UNAVAILABLE)
    edge = await start(TrafficPolicy(retry=ONCE, health=Breaking(base=300)))
    assert set(await edge.ask(60)) == {"UNAVAILABLE"}
    assert edge.envoy.stats("ejections_active")["cluster.model/iris.outlier_detection.ejections_active"] == 1
    assert behind.one.seen + behind.two.seen == 60


async def test_a_lone_replica_is_never_out(behind: Behind, start: Any) -> None:
    behind.one.behaviour = failing(StatusCode.UNAVAILABLE)
    edge = await start(TrafficPolicy(retry=ONCE), behind.replica(behind.one))
    assert set(await edge.ask(30)) == {"UNAVAILABLE"}
    assert behind.one.seen == 30


async def test_a_replica_comes_back(behind: Behind, start: Any) -> None:
    behind.one.behaviour = failing(StatusCode.UNAVAILABLE)
    edge = await start(TrafficPolicy(health=Breaking(base=0.2, longest=0.2)))
    assert set(await edge.ask(40)) == {"two"}
    behind.one.behaviour = answering

    async def back() -> bool:
        return "one" in await edge.ask(4)

    await until(back, 20)


async def test_what_is_not_the_replicas_fault_ejects_nobody(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(retry=ONCE, balancing=Balancing.ROUND_ROBIN))
    for code in (
        StatusCode.INTERNAL,  # one caller's poisonous input must not take out all replicas
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INVALID_ARGUMENT,
        StatusCode.CANCELLED,
    ):
        behind.one.behaviour = failing(code)
        assert (await edge.ask(24)).count(code.name) == 12
    assert not any(edge.envoy.stats("ejections_enforced_total").values())


async def test_callers_in_a_hurry_eject_nobody(behind: Behind, start: Any) -> None:
    behind.one.behaviour = behind.two.behaviour = silent
    edge = await start(TrafficPolicy(timeout=0.1, retry=ONCE))
    assert set(await edge.ask(15, timeout=None)) == {"DEADLINE_EXCEEDED"}
    assert set(await edge.ask(15, timeout=0.1)) == {"DEADLINE_EXCEEDED"}
    assert not any(edge.envoy.stats("ejections_enforced_total").values())


async def test_the_same_key_meets_the_same_replica(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(affinity="user"))
    by_user = {user: set(await edge.ask(5, metadata=[("user", f"u{user}")])) for user in range(20)}
    assert all(len(found) == 1 for found in by_user.values())
    assert set.union(*by_user.values()) == {"one", "two"}


async def test_replicas_of_the_own_zone_come_first(behind: Behind, start: Any) -> None:
    near, far = behind.replica(behind.one, locality="eu/a"), behind.replica(behind.two, locality="eu/b")
    edge = await start(TrafficPolicy(locality=Locality.PREFER), near, far, settings={"zone": "a"})
    assert set(await edge.ask(20)) == {"one"}
    await behind.one.stop()
    assert set(await edge.ask(20)) == {"two"}
    await behind.one.start()


async def test_a_version_goes_to_those_that_serve_it(behind: Behind, start: Any) -> None:
    both = behind.replica(behind.one, versions=("1",)), behind.replica(behind.two, versions=("1", "2"))
    edge = await start(TrafficPolicy(), *both)
    assert set(await edge.ask(10, version="2")) == {"two"}
    assert set(await edge.ask(20, version="1")) == {"one", "two"}
    assert {(await edge.infer()).model_version for _ in range(10)} == {"1"}
    assert await edge.ask(1, version="7") == ["router"]


async def test_names_that_differ_in_case_are_different_models(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(), behind.replica(behind.one), behind.replica(behind.two, "Iris"))
    answered = {await _outcome(edge.infer(name)) for name in ("iris", "IRIS", "Iris")}
    assert "router" in answered  # asks the right one itself
    assert (await edge.infer("Iris")).id == "two"
    assert (await edge.infer("IRIS")).id == "router"


async def test_what_a_caller_says_in_routing_headers_does_not_count(behind: Behind, start: Any) -> None:
    edge = await start()
    said = [("x-inferloom-model", "iris"), ("x-inferloom-version", "1"), ("x-envoy-upstream-rq-timeout-ms", "1")]
    assert await edge.ask(1, "unknown", metadata=said) == ["router"]
    assert await edge.ask(1, "mesh-router", metadata=said) == ["router"]


async def test_bodies_pass_with_one_of_two_replicas_down(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(balancing=Balancing.ROUND_ROBIN))
    await behind.one.stop()
    for size in (0, 1, 70_000, MIB, 17 * MIB, 64 * MIB - 100):
        assert set(await edge.ask(2, size=size)) == {"two"}
    await behind.one.start()


async def test_a_body_that_is_too_large_is_refused_as_the_router_refuses_it(behind: Behind, start: Any) -> None:
    edge = await start(settings={"max_message": MIB})
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await edge.infer(size=8 * MIB)
    assert failed.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert _reason(failed.value) == "size"


async def test_a_stream_may_be_silent_so_long(behind: Behind, start: Any) -> None:
    edge = await start(TrafficPolicy(stream_idle=0.3, timeout=0.1))
    stream = edge.channel.stream_stream(MODEL_STREAM_INFER.path, _bytes, pb.ModelStreamInferResponse.FromString)()
    request = pb.ModelInferRequest(model_name="iris")
    for _ in range(5):  # longer than the time-out of one request
        await stream.write(request)
        assert (await stream.read()).infer_response.id in ("one", "two")
        await asyncio.sleep(0.05)
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    assert edge.envoy.stats("downstream_rq_idle_timeout")["http.edge.downstream_rq_idle_timeout"] == 1


async def test_http_callers_get_json_of_a_status(behind: Behind, start: Any) -> None:
    edge = await start()
    status, headers, body = await asyncio.to_thread(edge.http, "POST", "/v1/iris", b"{}")
    found = json.loads(body)
    assert (status, headers["content-type"], found["code"], found["details"]) == (503, "application/json", 14, [])
    assert "mesh-http: no answer" in found["message"]


async def test_under_v2_an_error_is_written_as_triton_does(behind: Behind, start: Any) -> None:
    rest = behind.replica(behind.one, http_port=free_port())
    edge = await start(TrafficPolicy(retry=ONCE), rest)
    status, _, body = await asyncio.to_thread(edge.http, "POST", "/v2/models/iris/infer", b"{}")
    assert status == 503
    assert "rest/iris: no answer" in json.loads(body)["error"]


async def test_what_is_in_the_mesh_is_read_as_json(behind: Behind, start: Any) -> None:
    edge = await start()
    path = "/inferloom.v1.MeshService/ListModels"
    models = [mesh_pb2.Model(name="iris")]
    behind.router.answers[path] = mesh_pb2.ListModelsResponse(models=models, index=7).SerializeToString()
    status, _, body = await asyncio.to_thread(edge.http, "GET", "/inferloom/v1/models?with_load=true")
    assert (status, json.loads(body)["models"][0]["name"]) == (200, "iris")
    status, _, body = await asyncio.to_thread(edge.http, "GET", "/inferloom/v1/models?wrong=1")
    found = json.loads(body)
    assert (status, found["code"]) == (400, 3)
    assert "wrong" in found["message"]


async def test_the_access_log_tells_who_answered(behind: Behind, start: Any) -> None:
    edge = await start(settings={"access_log": "all"})
    await edge.infer(metadata=[("x-request-id", "r1"), ("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")])

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in edge.envoy.output.read_text().splitlines()]

    await until(lambda: len(lines()) == 1, 20)  # written every 10 s, or when the log is full
    (line,) = lines()
    assert (line["model"], line["cluster"], line["grpc_status"]) == ("iris", "model/iris", "OK")
    assert line["replica"] in (f"127.0.0.1:{behind.one.port}", f"127.0.0.1:{behind.two.port}")
    assert (line["request_id"], line["attempts"]) == ("r1", 1)


def test_one_model_that_envoy_refuses_is_refused_by_name_and_served_without(tmp_path: Path) -> None:
    catalog = Catalog.build([Replica(name, "a", "127.0.0.1", 9000, versions=("1",)) for name in ("good", "bad")])
    # A document may say so, and the longest wait, ten times as long, is more than Envoy can count.
    refused = TrafficPolicy.from_json("bad", {"retry": {"backoff": "260000h"}})
    compiler = Compiler(EdgeSettings())

    def said(skip: Mapping[str, bytes | None]) -> str:
        resources = compiler.compile(catalog, lambda model: refused if model.name == "bad" else DEFAULT, {}, skip)
        return validate(static_bootstrap(resources), tmp_path)

    assert "Duration out-of-range" in said({})
    assert said({"bad": None}) == ""


@pytest.mark.parametrize("longest", [1e9, 1e-9])
def test_envoy_takes_the_longest_and_shortest_times_of_a_document(tmp_path: Path, longest: float) -> None:
    policy = TrafficPolicy(
        timeout=longest,
        longest=longest,
        attempt_timeout=longest,
        stream_idle=longest,
        slow_start=longest,
        health=Breaking(window=longest, base=longest, longest=longest, rate=0.001, consecutive=1_000_000),
        retry=Retrying(attempts=10, budget_floor=1e6, budget_window=1e9),
        concurrency=1_000_000,
    )
    catalog = Catalog.build([Replica("iris", "a", "127.0.0.1", 9000, versions=("1",), http_port=9001)])
    resources = Compiler(EdgeSettings()).compile(catalog, lambda model: policy, {})
    assert validate(static_bootstrap(resources), tmp_path) == ""


def _reason(error: grpc.aio.AioRpcError) -> str:
    trailing: Any = error.trailing_metadata()
    return str(dict(trailing)[REASON_KEY])


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


async def _outcome(call: Any) -> str:
    try:
        return str((await call).id)
    except grpc.aio.AioRpcError as error:
        return error.code().name
