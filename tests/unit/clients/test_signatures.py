"""Metadata is fetched once."""

from __future__ import annotations

import asyncio

import pytest

from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.signatures import Signatures
from inferloom.mesh.errors import NoReplica, Unsupported

FOUND = ModelMetadata("m", ("1",), "", (), ())


class Server:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: asyncio.Future[ModelMetadata] = asyncio.get_running_loop().create_future()

    async def fetch(self, model: str, version: str) -> ModelMetadata:
        self.asked += 1
        return await asyncio.shield(self.answer)


async def test_callers_at_once_share_one_fetch() -> None:
    server, signatures = Server(), Signatures()
    callers = [asyncio.create_task(signatures.get("m", "", server.fetch)) for _ in range(5)]
    await asyncio.sleep(0)
    server.answer.set_result(FOUND)
    assert await asyncio.gather(*callers) == [FOUND] * 5
    assert await signatures.get("m", "", server.fetch) is FOUND
    assert server.asked == 1


async def test_a_caller_who_gives_up_does_not_fail_the_others() -> None:
    server, signatures = Server(), Signatures()
    first = asyncio.create_task(signatures.get("m", "", server.fetch))
    second = asyncio.create_task(signatures.get("m", "", server.fetch))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    server.answer.set_result(FOUND)
    assert await second is FOUND
    assert first.cancelled()


async def test_a_failure_is_not_remembered() -> None:
    server, signatures = Server(), Signatures()
    server.answer.set_exception(NoReplica("none"))
    with pytest.raises(NoReplica):
        await signatures.get("m", "", server.fetch)
    server.answer = asyncio.get_running_loop().create_future()
    server.answer.set_result(FOUND)
    assert await signatures.get("m", "", server.fetch) is FOUND


async def test_that_a_server_tells_no_metadata_is_remembered() -> None:
    server, signatures = Server(), Signatures()
    server.answer.set_exception(Unsupported("no"))
    assert await signatures.get("m", "", server.fetch) is None
    assert await signatures.get("m", "", server.fetch) is None
    assert server.asked == 1


async def test_what_was_dropped_is_fetched_again_and_versions_are_apart() -> None:
    server, signatures = Server(), Signatures()
    server.answer.set_result(FOUND)
    await signatures.get("m", "", server.fetch)
    await signatures.get("m", "2", server.fetch)
    signatures.drop("m", "")
    assert not signatures.known("m", "")
    assert signatures.known("m", "2")
    await signatures.get("m", "", server.fetch)
    assert server.asked == 3


async def test_close_ends_what_is_under_way() -> None:
    server, signatures = Server(), Signatures()
    caller = asyncio.create_task(signatures.get("m", "", server.fetch))
    await asyncio.sleep(0)
    await signatures.close()
    with pytest.raises(asyncio.CancelledError):
        await caller
