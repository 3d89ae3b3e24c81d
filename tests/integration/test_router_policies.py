"""Policies over real Tritons: a document that is written changes how a running router treats a model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from inferloom.mesh.policy import KIND
from inferloom.mesh.resilience.health import BreakerState
from tests.support.caller import Talk, echo_request, read, slow_request, stub, token_request
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]
Router = tuple[Mesh, Any]
USERS = [f"user-{number}" for number in range(24)]


@pytest.fixture
async def router(pair: Pair) -> AsyncIterator[Router]:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh, stub(mesh.address) as face:
        yield mesh, face


async def say(mesh: Mesh, model: str, spec: dict[str, Any] | None) -> None:
    """Write the document and wait until the router goes by it."""
    before = mesh.router.policy(model)
    await mesh.registry.documents.put(KIND, model, spec)
    end = time.monotonic() + 10
    while mesh.router.policy(model) is before:
        assert time.monotonic() < end, mesh.router.policies.problems
        await asyncio.sleep(0.005)


def requests(mesh: Mesh, model: str) -> list[int]:
    return [mesh.endpoint(model, name).load.requests for name in ("one", "two")]


async def test_a_time_out_holds_as_soon_as_it_is_written_and_no_longer_when_it_is_taken_back(router: Router) -> None:
    mesh, face = router
    assert read(await face.ModelInfer(slow_request(0.3, 1))) == [1]
    await say(mesh, "slow", {"timeout": "100ms", "retry": {"attempts": 1}})
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await face.ModelInfer(slow_request(2.0, 2))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 1.5
    assert read(await face.ModelInfer(slow_request(0.2, 3), timeout=10)) == [3], "the caller's own deadline counts"
    await say(mesh, "slow", {"timeout": "100ms", "longest": "150ms"})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await face.ModelInfer(slow_request(2.0, 4), timeout=10)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await say(mesh, "slow", None)
    assert read(await face.ModelInfer(slow_request(0.2, 5))) == [5]


async def test_above_the_bound_requests_and_streams_are_shed_and_say_so(router: Router) -> None:
    mesh, face = router
    await say(mesh, "slow", {"concurrency": 2})
    calls = [face.ModelInfer(slow_request(0.5, number), timeout=20) for number in range(5)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    shed = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(shed) == 3, answers
    for error in shed:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing = dict(cast("tuple[tuple[str, str], ...]", error.trailing_metadata()))
        assert (trailing["x-inferloom-reason"], trailing["grpc-retry-pushback-ms"]) == ("shed", "50")
    assert read(await face.ModelInfer(slow_request(0.0, 9), timeout=20)) == [9]
    await say(mesh, "tokens", {"concurrency": 1})
    async with Talk(face) as one, Talk(face) as two:
        await one.say(token_request(500, 0.01))
        await one.hear()
        await two.say(token_request(1))
        assert "as many as its policy allows" in (await two.hear()).error_message
        await say(mesh, "tokens", {"concurrency": 2})
        await two.say(token_request(1))
        assert not (await two.hear()).error_message


async def test_requests_with_the_same_value_go_to_the_same_replica_while_it_may_be_used(router: Router) -> None:
    mesh, face = router

    async def place(user: str) -> int:
        before = requests(mesh, "echo")
        await face.ModelInfer(echo_request(), metadata=(("user", user),), timeout=10)
        after = requests(mesh, "echo")
        return next(number for number in (0, 1) if after[number] > before[number])

    await say(mesh, "echo", {"affinity": "user"})
    first = {user: await place(user) for user in USERS}
    assert set(first.values()) == {0, 1}
    assert {user: await place(user) for user in USERS} == first
    mesh.endpoint("echo", "one").health.refuse("the test says so")
    assert {await place(user) for user in USERS} == {1}
    mesh.endpoint("echo", "one").health.reach(mesh.router.clock.now())
    assert {user: await place(user) for user in USERS} == first


async def test_turns_are_taken_where_the_policy_says_so(router: Router) -> None:
    mesh, face = router
    await say(mesh, "echo", {"balancing": "round_robin", "slow_start": "0s"})
    before = requests(mesh, "echo")
    for _ in range(10):
        await face.ModelInfer(echo_request(), timeout=10)
    assert [now - then for now, then in zip(requests(mesh, "echo"), before, strict=True)] == [5, 5]


async def test_a_silent_stream_ends_by_its_models_policy(router: Router) -> None:
    mesh, face = router
    await say(mesh, "echo", {"stream_idle": "200ms"})
    async with Talk(face, timeout=20) as talk:
        await talk.say(echo_request([1.0]))
        await talk.hear()
        with pytest.raises(grpc.aio.AioRpcError, match="silent") as caught:
            await talk.hear()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_changed_policy_leaves_breakers_and_budgets_and_a_bad_one_changes_nothing(router: Router) -> None:
    mesh, face = router
    group, endpoint = mesh.router.pool.groups["echo"], mesh.endpoint("echo", "one")
    endpoint.health.refuse("the test says so")
    assert group.budget.spend(mesh.router.clock.now())
    spent = group.budget.tokens
    await say(mesh, "echo", {"timeout": "5s"})
    await mesh.registry.documents.put(KIND, "echo", {"timeout": "-1s"})
    while "echo" not in mesh.router.policies.problems:
        await asyncio.sleep(0.005)
    assert "policy 'echo': timeout: '-1s' is no duration" in mesh.router.policies.problems["echo"]
    assert mesh.router.policy("echo").timeout == 5.0
    assert mesh.router.pool.groups["echo"] is group
    assert mesh.endpoint("echo", "one") is endpoint
    assert endpoint.health.state is BreakerState.OPEN
    assert group.budget.tokens <= spent
    assert read(await face.ModelInfer(echo_request([3.0]), timeout=10)) == [3.0]
