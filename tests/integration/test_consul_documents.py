"""Documents in a real Consul."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Documents
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul
from tests.support.documents_contract import DocumentsContract, first, seen

pytest_plugins = ("tests.support.consul_fixtures",)

Make = Callable[..., ConsulRegistry]


class TestConsulDocuments(DocumentsContract):
    @pytest.fixture
    def documents(self, registries: Make) -> Documents:
        return registries().documents

    @pytest.fixture
    def others(self, registries: Make) -> Documents:
        return registries().documents


async def test_documents_that_consul_forgot_are_kept_and_deleted_ones_are_not(consul: Consul, registries: Make) -> None:
    documents = registries().documents
    await documents.put("policy", "kept", {"n": 1})
    await documents.put("policy", "deleted", {"n": 1})
    watch = documents.watch()
    assert len(await first(watch)) == 2
    await documents.put("policy", "deleted", None)
    before = await seen(watch, "deleted", 0)
    await consul.kill()
    await consul.restart()
    await asyncio.sleep(3.0)  # the watch has found it empty
    await documents.put("policy", "another", {"n": 1})
    after = await seen(watch, "another", 1)
    assert set(after) == {("policy", "kept"), ("policy", "another")}
    assert after["policy", "kept"] is before["policy", "kept"]
    await documents.put("policy", "kept", {"n": 2}, expected_version=0)
    async with asyncio.timeout(5):
        async for snapshot in watch:
            if snapshot["policy", "kept"].spec == {"n": 2}:
                break


async def test_documents_deleted_by_hand_are_gone(consul: Consul, registries: Make) -> None:
    documents = registries().documents
    await documents.put("policy", "one", {"n": 1})
    watch = documents.watch()
    assert len(await first(watch)) == 1
    await consul.ask("DELETE", "kv/inferloom/documents?recurse")
    await seen(watch, "one", 0)


async def test_a_document_that_is_not_understood_is_kept_as_it_was(consul: Consul, registries: Make) -> None:
    documents = registries().documents
    known = await documents.put("policy", "one", {"n": 1})
    watch = documents.watch()
    assert len(await first(watch)) == 1
    await consul.ask("PUT", "kv/inferloom/documents/policy/one", b"\xff")
    await documents.put("policy", "two", {"n": 1})
    assert (await seen(watch, "two", 1))["policy", "one"] == known
    with pytest.raises(InvalidInput, match="inferloom/documents/policy/one is not understood"):
        await documents.get("policy", "one")


async def test_a_document_too_large_for_consul_is_refused_before_it_is_sent(registries: Make) -> None:
    documents = registries().documents
    await documents.put("graph", "large", {"text": "x" * 170_000})
    with pytest.raises(InvalidInput, match="graph 'larger' has 195 KiB, and Consul takes documents of up to 180"):
        await documents.put("graph", "larger", {"text": "x" * 200_000})
    with pytest.raises(InvalidInput, match="cannot be written as JSON"):
        await documents.put("graph", "odd", {"bytes": b"x"})
    with pytest.raises(InvalidInput, match="is no name of a document"):
        await documents.put("graph", "a/b", {})
