"""Handles against real Tritons, through a router in the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import numpy as np
import pytest

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import DeadlineExceeded, InvalidInput, ModelNotFound, NoReplica, ReplicaError, Unsupported
from inferloom.mesh.router.transport import give_up
from inferloom.services.caller import using
from inferloom.services.context import CallContext, current
from inferloom.services.declare.inside import RouterCaller
from inferloom.services.declare.model import model
from inferloom.services.declare.pending import scope
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]
LAG = 0.3  # seconds a cancellation may take to reach a model on a busy machine

echo, slow, tokens, versioned = (model(name) for name in ("echo", "slow", "tokens", "versioned"))


@asynccontextmanager
async def calling(**servers: Server) -> AsyncIterator[tuple[Mesh, RouterCaller]]:
    async with running_mesh(servers) as mesh:
        caller = RouterCaller(mesh.router)
        with using(caller):
            try:
                yield mesh, caller
            finally:
                await caller.close()


@contextmanager
def call(seconds: float, *metadata: tuple[str, str]) -> Iterator[None]:
    """What a host sets around a call that has so many seconds."""
    token = current.set(CallContext(SYSTEM.now() + seconds, metadata))
    try:
        with scope():
            yield
    finally:
        current.reset(token)


async def until_logged(server: Server, what: str, key: int, timeout: float = 3.0) -> None:
    end = time.monotonic() + timeout
    while key not in server.log().keys(what):
        assert time.monotonic() < end, f"{what} {key} is not in {server.log()}"
        await asyncio.sleep(0.01)


async def test_inputs_take_the_models_dtype_and_a_batch_dimension(pair: Pair) -> None:
    async with calling(one=pair[0]):
        out = await echo(x=[1, 2, 3])
        assert (out.y.dtype, out.y.tolist()) == (np.float32, [[1.0, 2.0, 3.0]])
        assert (await echo(np.ones((4, 2)))).y.shape == (4, 2)
        assert (await slow(seconds=0.0, key=70)).key.tolist() == [[70]]


async def test_calls_run_side_by_side_and_their_answers_are_passed_on(pair: Pair) -> None:
    async with calling(one=pair[0]):
        first, second = echo(x=[[1.0]]), echo(x=[[2.0]])
        third = echo(x=first.y)
        answers = await asyncio.gather(third.y, second.y, echo(x=third.y).y)
        assert [answer.tolist() for answer in answers] == [[[1.0]], [[2.0]], [[1.0]]]


async def test_wrong_inputs_are_explained_before_anything_is_sent(pair: Pair) -> None:
    async with calling(one=pair[0]) as (mesh, _):
        with pytest.raises(InvalidInput, match=r"no input 'z'; echo takes x FP32 \[-1,-1\]"):
            await echo(z=[1.0])
        with pytest.raises(InvalidInput, match="input 'key' is missing; slow takes"):
            await slow(seconds=0.0)
        assert mesh.metric("inferloom_requests_total", model="slow", method="ModelInfer") == 0
        with pytest.raises(ModelNotFound, match=r"model 'echoe' not found; did you mean echo\?"):
            await model("echoe")(x=[1.0])


async def test_the_metadata_is_asked_once_and_again_when_the_replicas_change(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(one=pair[0]) as (mesh, caller):
        asked: list[str] = []
        fetch = caller._fetch

        async def noted(name: str, version: str) -> Any:
            asked.append(name)
            return await fetch(name, version)

        monkeypatch.setattr(caller, "_fetch", noted)
        await asyncio.gather(*(echo(x=[1.0]) for _ in range(4)))
        await echo(x=[1.0])
        assert asked == ["echo"]
        await mesh.join("two", pair[1])
        while len(mesh.router.pool.groups["echo"].endpoints) < 2:
            await asyncio.sleep(0.01)
        await echo(x=[1.0])
        assert asked == ["echo", "echo"]
        found = await caller.metadata("slow")
        assert (found.max_batch_size, [spec.name for spec in found.inputs]) == (8, ["seconds", "key"])


async def test_a_version_is_chosen_by_the_handle(pair: Pair) -> None:
    async with calling(one=pair[0]):
        assert (await versioned(x=[1.0])).version == "1"
        assert (await versioned.options(version=2)(x=[1.0])).version == "2"
        with pytest.raises(ModelNotFound, match="versioned:7"):
            await versioned.options(version=7)(x=[1.0])


async def test_the_running_calls_deadline_is_the_models(pair: Pair) -> None:
    async with calling(one=pair[0]):
        await slow(seconds=0.0, key=71)
        with call(0.4):
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=r"no answer from 'slow' within 0\.3\d* s"):
                await slow(seconds=2.0, key=72)
            assert 0.35 < time.monotonic() - began < 0.4 + LAG
        await until_logged(pair[0], "cancelled", 72)
        with call(5.0), pytest.raises(DeadlineExceeded, match=r"no answer from 'slow' within 0\.1\d* s"):
            await slow.options(timeout="200ms")(seconds=2.0, key=73)


async def test_nothing_is_sent_once_the_deadline_has_passed(pair: Pair) -> None:
    async with calling(one=pair[0]):
        with call(-0.1), pytest.raises(DeadlineExceeded, match="no time was left"):
            await slow(seconds=0.0, key=74)
        await slow(seconds=0.0, key=75)
        assert 74 not in pair[0].log().keys("ran")


async def test_a_call_that_is_cancelled_ends_in_the_model(pair: Pair) -> None:
    async with calling(one=pair[0]):
        await slow(seconds=0.0, key=76)

        async def work() -> None:
            with call(10.0):
                await asyncio.gather(slow(seconds=5.0, key=77), echo(x=[1.0]))

        task = asyncio.create_task(work())
        await until_logged(pair[0], "ran", 77)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_logged(pair[0], "cancelled", 77)
        assert pair[0].log().when("cancelled")[-1] - began < LAG


async def test_what_a_call_leaves_under_way_ends_with_it(pair: Pair) -> None:
    async with calling(one=pair[0]):
        await slow(seconds=0.0, key=78)
        with call(10.0):
            slow(seconds=5.0, key=79)
            await until_logged(pair[0], "ran", 79)
        await until_logged(pair[0], "cancelled", 79)


async def test_a_fallback_model_answers_where_no_replica_can(pair: Pair) -> None:
    async with calling(one=pair[0]) as (mesh, _):
        gone = mesh.registrations["versioned", "one"]
        await gone.update(gone.replica.__class__("versioned", "one", "127.0.0.1", 1, versions=("1",)))
        while mesh.endpoint("versioned", "one").replica.port != 1:
            await asyncio.sleep(0.01)
        with pytest.raises(NoReplica, match="versioned"):
            await versioned.options(timeout=2)(x=[1.0])
        out = await versioned.options(timeout=2, fallback=echo)(x=[1.0])
        assert (out.model, out.y.tolist()) == ("echo", [[1.0]])


async def test_a_stream_gives_its_answers_one_by_one(pair: Pair) -> None:
    async with calling(one=pair[0]):
        assert [int(out.token[0]) async for out in tokens.stream(count=3, seconds=0.0)] == [0, 1, 2]
        assert [out async for out in tokens.stream(count=0, seconds=0.0)] == []
        with pytest.raises(ReplicaError, match="count is negative"):
            _ = [out async for out in tokens.stream(count=-1, seconds=0.0)]
        with pytest.raises(Unsupported, match=r"tokens gives any number of answers per request: use stream\(...\)"):
            await tokens(count=1, seconds=0.0)


async def test_a_stream_that_is_left_ends_in_the_model(pair: Pair) -> None:
    async with calling(one=pair[0]) as (mesh, _):
        seen = len(pair[0].log("tokens").keys("cancelled"))
        stream: Any = tokens.stream(count=500, seconds=0.01)
        async for _ in stream:
            break
        await stream.aclose()
        end = time.monotonic() + 3
        while len(pair[0].log("tokens").keys("cancelled")) == seen:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        assert mesh.endpoint("tokens", "one").load.in_flight == 0


async def test_a_stream_keeps_the_deadline(pair: Pair) -> None:
    async with calling(one=pair[0]):
        with call(0.4), pytest.raises(DeadlineExceeded, match="'tokens' did not end its answers in time"):
            async for _ in tokens.stream(count=500, seconds=0.01):
                pass


def lose_the_first_stream(mesh: Mesh) -> list[Any]:
    """The first stream that is opened is lost at once, as when its replica dies; all that are opened are in the list."""
    opened: list[Any] = []
    for endpoint in mesh.router.pool.groups["tokens"].endpoints.values():

        def stream(method: str, metadata: Any, endpoint: Any = endpoint, open_: Any = endpoint.channel.stream) -> Any:
            rpc = open_(method, metadata)
            opened.append(rpc)
            if len(opened) == 1:
                give_up({rpc})
                asyncio.get_running_loop().call_soon(endpoint.active.discard, rpc)
            return rpc

        cast(Any, endpoint.channel).stream = stream
    return opened


async def test_a_stream_finds_another_replica_before_its_first_answer(pair: Pair) -> None:
    async with calling(one=pair[0], two=pair[1]) as (mesh, caller):
        await caller.metadata("tokens")
        opened = lose_the_first_stream(mesh)
        assert [int(out.token[0]) async for out in tokens.stream(count=2, seconds=0.0)] == [0, 1]
        assert len(opened) == 2


async def test_a_stream_of_what_has_effects_is_not_begun_again(pair: Pair) -> None:
    async with calling(one=pair[0], two=pair[1]) as (mesh, caller):
        await mesh.say("one", repeat=Repeat.NEVER)
        while mesh.router.policy("tokens").retry.attempts != 1:
            await asyncio.sleep(0.01)
        await caller.metadata("tokens")
        opened = lose_the_first_stream(mesh)
        with pytest.raises(NoReplica, match="no replica of 'tokens' answered"):
            _ = [out async for out in tokens.stream(count=2, seconds=0.0)]
        assert len(opened) == 1
