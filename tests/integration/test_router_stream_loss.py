"""Streams whose replica is killed, hangs, or is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from inferloom.mesh.catalog import State
from tests.support.caller import Talk, echo_request, read, slow_request, stub, token_request
from tests.support.router import Mesh, Server, running_mesh, running_servers

Two = tuple[Server, Server]


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    with running_servers(tmp_path_factory.mktemp("hurt"), 2, ["slow", "tokens", "echo"]) as (one, two):
        yield one, two


@pytest.fixture
def two(hurt: Two) -> Two:
    for server in hurt:
        server.heal()
    return hurt


@pytest.fixture(autouse=True)
def nothing_is_left(two: Two, nothing_is_left: None) -> None:
    """Looks once the Tritons are whole."""


async def where(mesh: Mesh, model: str) -> str:
    """The replica that the model's stream is pinned to."""
    for _ in range(300):
        for name, endpoint in mesh.router.pool.groups[model].endpoints.items():
            if endpoint.load.in_flight:
                return name
        await asyncio.sleep(0.01)
    raise AssertionError("no stream")


async def test_messages_that_a_killed_replica_had_not_answered_fail_and_later_ones_are_served(two: Two) -> None:
    servers = {"one": two[0], "two": two[1]}
    async with running_mesh(servers) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        for key in range(1, 4):
            await talk.say(slow_request(1.0, key, request_id=str(key)))
        pinned = await where(mesh, "slow")
        while not servers[pinned].log().keys("ran"):
            await asyncio.sleep(0.01)
        servers[pinned].kill()
        failed = [await talk.hear() for _ in range(3)]
        assert [answer.infer_response.id for answer in failed] == ["1", "2", "3"]
        assert all(f"(replica {pinned} of 'slow')" in answer.error_message for answer in failed)
        for key in range(4, 8):
            await talk.say(slow_request(0.0, key, request_id=str(key)))
        assert [read((await talk.hear()).infer_response) for _ in range(4)] == [[4], [5], [6], [7]]
        assert mesh.metric("inferloom_request_duration_seconds_count", code="UNAVAILABLE") == 3
        assert mesh.metric("inferloom_request_duration_seconds_count", code="OK") == 4


async def test_a_decoupled_message_cut_short_fails_and_a_finished_one_does_not(two: Two) -> None:
    servers = {"one": two[0], "two": two[1]}
    async with running_mesh(servers) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        await talk.say(token_request(2, 0.0, "finished"))
        for _ in range(2):
            assert not (await talk.hear()).error_message
        await talk.say(token_request(1000, 0.05, "cut"))
        for _ in range(3):
            assert not (await talk.hear()).error_message
        servers[await where(mesh, "tokens")].kill()
        while not (answer := await talk.hear()).error_message:
            assert answer.infer_response.id == "cut"
        assert answer.infer_response.id == "cut"
        await talk.say(token_request(1, 0.0, "next"))
        answer = await talk.hear()
        assert (answer.infer_response.id, answer.error_message) == ("next", "")


async def test_a_frozen_replica_that_is_given_up_fails_its_messages_at_once_and_not_the_stream(two: Two) -> None:
    servers = {"one": two[0], "two": two[1]}
    async with running_mesh(servers) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        await talk.say(token_request(2, 0.0, "warm"))
        for _ in range(2):
            await talk.hear()
        pinned = await where(mesh, "tokens")
        await asyncio.sleep(0.1)  # it has said that it was the last
        servers[pinned].freeze()
        await talk.say(token_request(2, 0.0, "stuck"))
        await asyncio.sleep(0.1)
        await mesh.say(pinned, state=State.STARTING, problem="it hangs")
        answer = await asyncio.wait_for(talk.hear(), 1.0)
        assert answer.infer_response.id == "stuck"
        assert "gave the replica up" in answer.error_message
        await talk.say(token_request(1, 0.0, "next"))
        assert (await talk.hear()).infer_response.id == "next"


async def test_a_stream_that_is_writing_when_its_replica_is_given_up_lives_on(two: Two) -> None:
    """Megabytes that a frozen server does not read fill the connection's window: the write itself hangs."""
    servers = {"one": two[0], "two": two[1]}
    async with running_mesh(servers) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        await talk.say(echo_request([1], request_id="warm"))
        await talk.hear()
        pinned = await where(mesh, "echo")
        servers[pinned].freeze()
        big = echo_request([1.0] * 2_000_000)
        writing = asyncio.create_task(talk_big(talk, big, 6))
        await asyncio.sleep(0.5)
        await mesh.say(pinned, state=State.STARTING, problem="it hangs")
        ids = set()
        for _ in range(6):
            answer = await asyncio.wait_for(talk.hear(), 10.0)
            assert not answer.error_message or "gave the replica up" in answer.error_message
            ids.add(answer.infer_response.id)
        await writing
        assert ids == {f"big{number}" for number in range(6)}, "each message has exactly one outcome"
        await talk.say(echo_request([2], request_id="after"))
        assert (await talk.hear()).infer_response.id == "after"


async def talk_big(talk: Talk, request: Any, count: int) -> None:
    for number in range(count):
        request.id = f"big{number}"
        await talk.say(request)


async def test_with_every_replica_dead_each_message_says_so_and_the_stream_lives_until_one_is_back(two: Two) -> None:
    async with running_mesh({"one": two[0]}) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        await talk.say(slow_request(0.0, 1, request_id="1"))
        await talk.hear()
        two[0].kill()
        await asyncio.sleep(0.4)
        await talk.say(slow_request(0.0, 2, request_id="2"))
        answer = await talk.hear()
        assert answer.infer_response.id == "2"
        assert "no replica of 'slow' can be used; 1 registered: one open" in answer.error_message
        await mesh.join("two", two[1])
        await talk.say(slow_request(0.0, 3, request_id="3"))
        assert read((await talk.hear()).infer_response) == [3]


async def test_a_caller_that_vanishes_does_not_count_against_the_replica(two: Two) -> None:
    async with running_mesh({"one": two[0]}) as mesh:
        for _ in range(8):
            async with stub(mesh.address) as face:
                talk = Talk(face)
                await talk.say(token_request(100, 0.005))
                await talk.hear()  # the channel is closed with answers on their way
        await asyncio.sleep(0.3)
        endpoint = mesh.endpoint("tokens", "one")
        assert (str(endpoint.health.state), endpoint.load.failures, endpoint.load.in_flight) == ("closed", 0, 0)
