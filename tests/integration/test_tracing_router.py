"""One trace from the caller through the router to Triton, whatever happens on the way: whole trees."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from inferloom.mesh.catalog import Replica
from inferloom.mesh.split import KIND
from tests.support.caller import Talk, echo_request, slow_request, stub, token_request
from tests.support.load import outcome_of
from tests.support.router import Mesh, Server, running_mesh
from tests.support.traced import Asked, Traced, asked, traced_servers, tracing_as

SHOWN = ("model", "attempt", "replica", "arm", "mirror", "cancelled")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_servers(tmp_path_factory.mktemp("traced")) as found:
        yield found


@pytest.fixture
def traced(running: Traced) -> Traced:
    """Both Tritons whole again for each test."""
    for server in running.servers.values():
        if not server.running:
            server.heal()
    return running


@pytest.fixture(autouse=True)
def nothing_is_left(traced: Traced, nothing_is_left: None) -> None:
    """Looks once the Tritons are whole."""


@asynccontextmanager
async def mesh_of(traced: Traced, servers: dict[str, Server], **options: Any) -> AsyncIterator[tuple[Mesh, Any]]:
    """A traced router over some of the Tritons, and a stub of it."""
    with tracing_as("router", traced.traces, **options) as tracing:
        async with running_mesh(servers, tracing=tracing) as mesh, stub(mesh.address) as face:
            yield mesh, face


async def test_a_plain_call_is_the_callers_the_routers_the_attempts_and_tritons(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):

        async def ask() -> Asked:
            caller = asked(tracestate="vendor=1", baggage="user=ada")
            await face.ModelInfer(echo_request(), metadata=caller.metadata)
            return caller

        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=echo
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1 replica=one
    triton  InferRequest  server
      triton  echo  server
        triton  compute  server
"""
        caller, spans = await traced.traces.whole(ask, expected, *SHOWN)
        top = caller.top(spans)
        (attempt,) = [span for span in spans if span.kind == 3]
        assert attempt.attributes == {
            "rpc.system": "grpc",
            "rpc.service": "inference.GRPCInferenceService",
            "rpc.method": "ModelInfer",
            "rpc.grpc.status_code": 0,
            "server.address": "127.0.0.1",
            "server.port": traced.one.port,
            "inferloom.model": "echo",
            "inferloom.version": "1",
            "inferloom.replica": "one",
            "inferloom.attempt": 1,
        }
        assert (top.status, attempt.status) == (0, 0)
        assert top.began <= attempt.began <= attempt.ended <= top.ended


async def test_a_retried_call_has_both_attempts_and_a_failed_one_is_exported_unsampled(traced: Traced) -> None:
    both = traced.servers
    async with mesh_of(traced, both, ratio=0.0) as (mesh, face):
        caller = asked(x_inferloom_trace="1", sampled=False)
        call = asyncio.ensure_future(face.ModelInfer(slow_request(0.7, 4711), metadata=caller.metadata, timeout=20))
        while not (busy := [name for name, each in both.items() if 4711 in each.log().keys("ran")]):
            await asyncio.sleep(0.01)
        (dead,) = busy
        (other,) = both.keys() - {dead}
        both[dead].kill()
        await call
        expected = f"""
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=slow
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1 replica={dead}  ERROR UNAVAILABLE
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=2 replica={other}
    triton  InferRequest  server
      triton  slow  server
        triton  compute  server
"""
        await traced.traces.are(
            caller.trace, expected, *SHOWN
        )  # once: to do it again needs a new Triton; the next test does

        await mesh.registrations["slow", other].deregister()
        while mesh.endpoint("slow", dead).health.state != "open":
            await asyncio.sleep(0.01)
        unsampled = asked(sampled=False)
        with pytest.raises(grpc.aio.AioRpcError):
            await face.ModelInfer(slow_request(0.0, 1), metadata=unsampled.metadata, timeout=5)
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=slow  ERROR UNAVAILABLE
"""
        spans = await traced.traces.are(unsampled.trace, expected, *SHOWN)
        assert "no replica" in unsampled.top(spans).message


async def test_the_second_attempt_of_a_retried_call_goes_on_in_triton(traced: Traced) -> None:
    refused = []

    async def refuse(request: bytes, context: Any) -> None:
        refused.append(request)
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(refuse)}
    bad = grpc.aio.server()
    bad.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
    port = bad.add_insecure_port("127.0.0.1:0")
    await bad.start()
    try:
        async with mesh_of(traced, {"one": traced.one}) as (mesh, face):
            await mesh.registry.register(Replica("echo", "bad", "127.0.0.1", port))

            async def ask() -> Asked:
                before = len(refused)
                async with asyncio.timeout(20):
                    while True:  # until the first attempt is at the bad one
                        caller = asked()
                        await face.ModelInfer(echo_request(), metadata=caller.metadata)
                        if len(refused) > before:
                            return caller

            expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=echo
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1 replica=bad  ERROR UNAVAILABLE
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=2 replica=one
    triton  InferRequest  server
      triton  echo  server
        triton  compute  server
"""
            await traced.traces.whole(ask, expected, *SHOWN)
    finally:
        await bad.stop(0.0)


async def test_what_is_not_sampled_and_does_not_fail_is_seen_nowhere(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}, ratio=0.0) as (_, face):
        unsampled, sampled = asked(sampled=False), asked()
        await face.ModelInfer(echo_request(), metadata=unsampled.metadata)
        await outcome_of(face.ModelInfer(echo_request(model="nobody"), metadata=unsampled.metadata))
        await face.ModelInfer(echo_request(), metadata=sampled.metadata)
        await traced.traces.until(lambda: len(traced.traces.of(sampled.trace)) >= 2)
        assert traced.traces.of(unsampled.trace) == []


async def test_a_cancelled_call_is_marked_as_such_down_to_triton_and_no_error(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):
        keys = itertools.count(815)

        async def ask() -> Asked:
            caller, key = asked(), next(keys)
            call = face.ModelInfer(slow_request(5.0, key), metadata=caller.metadata)
            while key not in traced.one.log().keys("ran"):
                await asyncio.sleep(0.01)
            call.cancel()
            return caller

        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=slow cancelled=true
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1 replica=one cancelled=true
    triton  InferRequest  server
      triton  slow  server
        triton  compute  server
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_a_mirror_is_a_second_clients_span_with_its_own_arm(traced: Traced) -> None:
    arms = [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]
    async with mesh_of(traced, {"one": traced.one}) as (mesh, face):
        await mesh.registry.documents.put(KIND, "versioned", {"arms": arms})
        while "versioned" not in mesh.router.splitting.splits:
            await asyncio.sleep(0.01)

        async def ask() -> Asked:
            caller = asked()
            await face.ModelInfer(echo_request(model="versioned"), metadata=caller.metadata)
            return caller

        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=versioned arm=1
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=versioned attempt=1 replica=one arm=1
    triton  InferRequest  server
      triton  versioned  server
        triton  compute  server
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=versioned replica=one arm=2 mirror=true
    triton  InferRequest  server
      triton  versioned  server
        triton  compute  server
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_a_stream_has_a_span_for_its_replica_and_one_for_each_message(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):

        async def ask() -> Asked:
            caller = asked()
            async with Talk(face, metadata=caller.metadata) as talk:
                for name in ("a", "b"):
                    await talk.say(token_request(2, request_id=name))
                    for _ in range(2):
                        await talk.hear()
                await talk.call.done_writing()
                assert await talk.call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
            return caller

        expected = """
inferloom-router  inference.GRPCInferenceService/ModelStreamInfer  server
  inferloom-router  inference.GRPCInferenceService/ModelStreamInfer  client  model=tokens replica=one
    triton  InferRequest  server
      triton  tokens  server
        triton  compute  server
    triton  InferRequest  server
      triton  tokens  server
        triton  compute  server
  inferloom-router  message tokens  internal  model=tokens attempt=1 replica=one request_id=a
  inferloom-router  message tokens  internal  model=tokens attempt=1 replica=one request_id=b
"""
        await traced.traces.whole(ask, expected, *SHOWN, "request_id")


async def test_a_message_that_cannot_be_sent_is_an_error_of_its_own(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):
        caller = asked()
        async with Talk(face, metadata=caller.metadata) as talk:
            await talk.say(echo_request(model="nobody"))
            assert "not found" in (await talk.hear()).error_message
            await talk.call.done_writing()
            assert await talk.call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelStreamInfer  server
  inferloom-router  message nobody  internal  model=nobody  ERROR NOT_FOUND
"""
        await traced.traces.are(caller.trace, expected, *SHOWN)


async def test_what_the_face_refuses_is_in_the_callers_trace_too(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):
        caller = asked()
        await outcome_of(face.ModelInfer(echo_request(model=""), metadata=caller.metadata))
        await traced.traces.are(
            caller.trace,
            "inferloom-router  inference.GRPCInferenceService/ModelInfer  server  INVALID_ARGUMENT",
            *SHOWN,
        )
