"""One trace through router, host, service or pipeline, the router inside the host, and Triton: whole trees."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from inferloom.mesh.policy import Balancing
from inferloom.services.host.host import Host
from tests.support.caller import Talk, infer_request, stub
from tests.support.host import eventually, running_host, write_app
from tests.support.otlp import Span
from tests.support.router import Mesh, Server, running_mesh
from tests.support.traced import Asked, Traced, asked, traced_servers, tracing_as

SHOWN = ("model", "attempt", "answered", "late", "members", "batch_size", "rows", "cancelled")
TRITONS = ("InferRequest", "compute")
APP = """
    from collections.abc import AsyncIterator
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import model, service, shape

    echo = model("echo")
    tokens = model("tokens")
    Row = Annotated[npt.NDArray[np.float32], shape(-1, 2)]


    @service
    async def twice(x: Row) -> Row:
        first = await echo(x=x)
        second = await echo(x=first.y)
        return second.y


    @service
    async def count(n: int) -> AsyncIterator[int]:
        async for answer in tokens.stream(count=np.array([n], np.int32), seconds=np.array([0], np.float32)):
            yield int(answer.token[0])


    @service
    async def broken(x: Row) -> Row:
        raise LookupError("nothing to be found")
"""
SLOW_INPUTS = [
    {"name": "seconds", "datatype": "FP32", "shape": [-1, 1]},
    {"name": "key", "datatype": "INT32", "shape": [-1, 1]},
]
WIRES = {"seconds": "input.seconds", "key": "input.key"}
ALONE = {
    "inputs": SLOW_INPUTS,
    "outputs": [{"name": "key", "source": "wait.key"}],
    "nodes": [{"name": "wait", "step": {"model": "slow", "inputs": WIRES}}],
}
LATE = {
    "inputs": [*SLOW_INPUTS, {"name": "long", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "key", "source": "votes.key"}],
    "nodes": [
        {
            "name": "votes",
            "ensemble": {
                "combine": "max",
                "quorum": 1,
                "wait": "0.2s",
                "members": [
                    {"name": "fast", "step": {"model": "slow", "inputs": WIRES}},
                    {"name": "tardy", "step": {"model": "slow", "inputs": {**WIRES, "seconds": "input.long"}}},
                ],
            },
        }
    ],
}


class Batch(NamedTuple):
    """The callers of one batch, and of the one before."""

    alone: Asked
    unsampled: Asked
    first: Asked
    second: Asked

    @property
    def trace(self) -> str:
        return self.first.trace


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    with traced_servers(tmp_path_factory.mktemp("traced")) as found:
        yield found


@asynccontextmanager
async def hosted(traced: Traced, folder: Path, **servers: Server) -> AsyncIterator[tuple[Mesh, Host, Any]]:
    """Router and host, traced as two processes would be, and a stub of the router."""
    app = write_app(folder / "traced_app.py", APP)
    with tracing_as("router", traced.traces) as outside, tracing_as("host", traced.traces) as inside:
        async with (
            running_mesh(servers or {"one": traced.one}, tracing=outside) as mesh,
            running_host(mesh.registry, app, inside, pipelines=True) as host,
            stub(mesh.address) as face,
        ):
            for name, graph in (("alone", ALONE), ("late", LATE)):
                await mesh.registry.documents.put("pipeline", name, graph)
            await eventually(lambda: {"alone", "late"} <= set(host.names) or host.problems.get("alone"))
            assert not host.problems
            await eventually(lambda: "late" in mesh.router.pool.groups)
            await eventually(lambda: connected(host) == len(servers or ("one",)))
            yield mesh, host, face


def connected(host: Host) -> int:
    """Replicas of `slow` that the host's own router has a connection to."""
    return sum(each.channel.connected for each in host.router.pool.groups["slow"].endpoints.values())


def slow(model: str, seconds: float, key: int, **more: float) -> Any:
    extra: dict[str, Any] = {name: np.array([[value]], np.float32) for name, value in more.items()}
    times = np.array([[seconds]], np.float32)
    return infer_request(model, seconds=times, key=np.array([[key]], np.int32), **extra)


def named(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_service_s_calls_are_below_its_span_and_each_goes_on_in_triton(traced: Traced, tmp_path: Path) -> None:
    async with hosted(traced, tmp_path) as (_, _, face):
        request = infer_request("twice", x=np.ones((1, 2), np.float32))
        await face.ModelInfer(request, timeout=20)  # it learns the model's metadata

        async def ask() -> Asked:
            caller = asked()
            await face.ModelInfer(request, metadata=caller.metadata, timeout=20)
            return caller

        call = """
    inferloom-host  inference.GRPCInferenceService/ModelInfer  server  model=twice
""".strip("\n")
        inner = """
      inferloom-host  call echo  internal  model=echo
        inferloom-host  inference.GRPCInferenceService/ModelInfer  client  model=echo attempt=1
          triton  InferRequest  server
            triton  echo  server
              triton  compute  server
""".strip("\n")
        expected = f"""
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=twice
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=twice attempt=1
{call}
{inner}
{inner}
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_what_a_service_raises_is_the_error_of_every_span_above(traced: Traced, tmp_path: Path) -> None:
    async with hosted(traced, tmp_path) as (_, _, face):
        caller = asked()
        request = infer_request("broken", x=np.ones((1, 2), np.float32))
        with pytest.raises(Exception, match="LookupError: nothing to be found"):
            await face.ModelInfer(request, metadata=caller.metadata, timeout=20)
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=broken  ERROR UNKNOWN
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=broken attempt=1  ERROR UNKNOWN
    inferloom-host  inference.GRPCInferenceService/ModelInfer  server  model=broken  ERROR UNKNOWN
"""
        spans = await traced.traces.are(caller.trace, expected, *SHOWN)
        assert {span.message for span in spans} == {"LookupError: nothing to be found"}


async def test_a_stream_through_a_service_is_one_trace_down_to_triton(traced: Traced, tmp_path: Path) -> None:
    async with hosted(traced, tmp_path) as (_, _, face):

        async def ask() -> Asked:
            caller = asked()
            async with Talk(face, metadata=caller.metadata) as talk:
                request = infer_request("count", "r", n=np.array([2], np.int32))
                request.inputs[0].datatype = "INT64"
                request.raw_input_contents[0] = np.array([2], np.int64).tobytes()
                request.inputs[0].shape[:] = [1]
                await talk.say(request)
                for _ in range(2):
                    answer = await talk.hear()
                    assert not answer.error_message
                await talk.call.done_writing()
                await talk.call.read()
            return caller

        await ask()  # it learns the model's metadata
        expected = """
inferloom-router  inference.GRPCInferenceService/ModelStreamInfer  server
  inferloom-router  inference.GRPCInferenceService/ModelStreamInfer  client  model=count
    inferloom-host  inference.GRPCInferenceService/ModelStreamInfer  server
      inferloom-host  message count  internal  model=count
        inferloom-host  inference.GRPCInferenceService/ModelStreamInfer  client  model=tokens
          triton  InferRequest  server
            triton  tokens  server
              triton  compute  server
  inferloom-router  message count  internal  model=count attempt=1
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_a_late_member_is_cancelled_in_the_tree_and_the_ensemble_says_who_was_late(
    traced: Traced, tmp_path: Path
) -> None:
    servers = {"one": traced.one, "two": traced.two}
    async with hosted(traced, tmp_path, **servers) as (mesh, host, face):
        # By latency both members may choose the server that told its metadata sooner, and wait for each other there.
        await mesh.registry.documents.put("policy", "slow", {"balancing": "least_request"})
        await eventually(lambda: host.router.pool.groups["slow"].policy.balancing is Balancing.LEAST_REQUEST)

        async def ask() -> Asked:
            caller = asked()
            await face.ModelInfer(slow("late", 0.0, 1, long=20.0), metadata=caller.metadata, timeout=30)
            return caller

        expected = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=late
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=late attempt=1
    inferloom-host  inference.GRPCInferenceService/ModelInfer  server  model=late
      inferloom-host  unit votes  internal  batch_size=1
        inferloom-host  batch votes  internal  batch_size=1 rows=1
          inferloom-host  node votes  internal  answered=fast late=tardy
            inferloom-host  combine max  internal  members=1
            inferloom-host  member fast  internal
              inferloom-host  call slow  internal  model=slow
                inferloom-host  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1
                  triton  InferRequest  server
                    triton  slow  server
                      triton  compute  server
            inferloom-host  member tardy  internal  cancelled=true
              inferloom-host  call slow  internal  model=slow cancelled=true
                inferloom-host  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1 cancelled=true
                  triton  InferRequest  server
                    triton  slow  server
                      triton  compute  server
"""
        await traced.traces.whole(ask, expected, *SHOWN)


async def test_a_batch_is_below_its_first_sampled_request_and_linked_with_all(traced: Traced, tmp_path: Path) -> None:
    async with hosted(traced, tmp_path) as (_, host, face):
        keys = itertools.count(61)

        async def ask() -> Batch:
            batch = Batch(asked(), asked(sampled=False), asked(), asked())
            key = next(keys)
            call = face.ModelInfer(slow("alone", 0.5, key), metadata=batch.alone.metadata, timeout=20)
            began = asyncio.ensure_future(call)
            while key not in traced.one.log().keys("ran"):
                await asyncio.sleep(0.01)
            others = []
            for caller in batch[1:]:
                call = face.ModelInfer(slow("alone", 0.0, next(keys)), metadata=caller.metadata, timeout=20)
                others.append(asyncio.ensure_future(call))
                await eventually(lambda: waiting(host) == len(others))
            await asyncio.gather(began, *others)
            return batch

        top = """
inferloom-router  inference.GRPCInferenceService/ModelInfer  server  model=alone
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  model=alone attempt=1
    inferloom-host  inference.GRPCInferenceService/ModelInfer  server  model=alone
      inferloom-host  unit wait  internal  batch_size={size}
"""
        below = """        inferloom-host  batch wait  internal  batch_size={size} rows={size}
          inferloom-host  node wait  internal
            inferloom-host  call slow  internal  model=slow
              inferloom-host  inference.GRPCInferenceService/ModelInfer  client  model=slow attempt=1
                triton  InferRequest  server
                  triton  slow  server
                    triton  compute  server
"""
        expected = top.format(size=3) + below.format(size=3)
        (alone, unsampled, first, second), led = await traced.traces.whole(ask, expected, *SHOWN)
        await traced.traces.are(
            alone.trace, top.format(size=1) + below.format(size=1), *SHOWN
        )  # Triton's is in the other
        rode = await traced.traces.are(second.trace, top.format(size=3), *SHOWN)
        batch, unit = named(led, "batch wait"), named(rode, "unit wait")
        assert unit.links == ((first.trace, batch.id),)
        assert [trace for trace, _ in batch.links] == [unsampled.trace, first.trace, second.trace]
        assert (second.trace, unit.id) in batch.links
        assert 0.05 < unit.attributes["inferloom.queue_seconds"] <= batch.attributes["inferloom.queue_seconds"] < 10
        assert traced.traces.of(unsampled.trace) == []


def waiting(host: Host) -> int:
    """Requests that gather for the pipeline's next batch."""
    composer: Any = host._pipelines._composer
    return int(composer._live["alone"].plan.whole.batcher._waiting)
