"""One trace from the caller through the router to Triton, whatever happens on the way: whole trees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from inferloom.mesh.split import KIND
from tests.support.caller import Talk, echo_request, slow_request, stub, token_request
from tests.support.load import outcome_of
from tests.support.router import Mesh, Server, running_mesh
from tests.support.traced import Traced, asked, traced_servers, tracing_as

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
        callers = [asked(tracestate="vendor=1", baggage="user=ada") for _ in range(5)]
        for caller in callers:
            await face.ModelInfer(echo_request(), metadata=caller.metadata)
        await traced.traces.until(lambda: any(len(traced.traces.of(caller.trace)) == 5 for caller in callers))
        caller = next(caller for caller in callers if len(traced.traces.of(caller.trace)) == 5)
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=echo
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1 replica=one
    triton  InferRequest  server
      triton  echo  server
        triton  compute  server
"""
        spans = await traced.traces.are(caller.trace, expected, *SHOWN, whole=True)
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
        await traced.traces.are(caller.trace, expected, *SHOWN)

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
        caller = asked()
        call = face.ModelInfer(slow_request(5.0, 815), metadata=caller.metadata)
        while 815 not in traced.one.log().keys("ran"):
            await asyncio.sleep(0.01)
        call.cancel()
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=slow cancelled=true
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1 replica=one cancelled=true
    triton  InferRequest  server
      triton  slow  server
        triton  compute  server
"""
        await traced.traces.are(caller.trace, expected, *SHOWN)


async def test_a_mirror_is_a_second_clients_span_with_its_own_arm(traced: Traced) -> None:
    arms = [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]
    async with mesh_of(traced, {"one": traced.one}) as (mesh, face):
        await mesh.registry.documents.put(KIND, "versioned", {"arms": arms})
        while "versioned" not in mesh.router.splitting.splits:
            await asyncio.sleep(0.01)
        caller = asked()
        await face.ModelInfer(echo_request(model="versioned"), metadata=caller.metadata)
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
        await traced.traces.are(caller.trace, expected, *SHOWN)


async def test_a_stream_has_a_span_for_its_replica_and_one_for_each_message(traced: Traced) -> None:
    async with mesh_of(traced, {"one": traced.one}) as (_, face):
        caller = asked()
        async with Talk(face, metadata=caller.metadata) as talk:
            for name in ("a", "b"):
                await talk.say(token_request(2, request_id=name))
                for _ in range(2):
                    await talk.hear()
            await talk.call.done_writing()
            assert await talk.call.read() is grpc.aio.EOF  # type: ignore[attr-defined]
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
        await traced.traces.are(caller.trace, expected, *SHOWN, "request_id")


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
