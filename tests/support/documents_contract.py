"""What every implementation of `Documents` does.

A module of tests subclasses `DocumentsContract` and has two fixtures: `documents`, and `others`, a second face of the
same store (the same object where there is only one).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from inferloom.mesh.errors import Conflict
from inferloom.mesh.registry.base import Document, DocumentKey, Documents

Snapshot = Mapping[DocumentKey, Document]


async def first(watch: AsyncIterator[Snapshot], seconds: float = 5.0) -> Snapshot:
    async with asyncio.timeout(seconds):
        return await anext(watch)


async def seen(watch: AsyncIterator[Snapshot], name: str, version: int, seconds: float = 5.0) -> Snapshot:
    """The first snapshot in which a document has this version; 0: in which it is not."""
    async with asyncio.timeout(seconds):
        async for snapshot in watch:
            found = next((document.version for (_, other), document in snapshot.items() if other == name), 0)
            if found == version:
                return snapshot
    raise AssertionError("the watch ended")


class DocumentsContract:
    async def test_what_was_put_is_got(self, documents: Documents, others: Documents) -> None:
        spec = {"retries": 2, "names": ["a", "ü"], "deep": {"none": None, "part": 0.1}}
        put = await documents.put("policy", "iris", spec, author="ada@host")
        assert (put.kind, put.name, put.spec, put.version, put.author) == ("policy", "iris", spec, 1, "ada@host")
        assert put.time > 1_600_000_000
        assert await others.get("policy", "iris") == put
        assert await others.get("policy", "other") is None
        assert await others.get("split", "iris") is None

    async def test_each_write_is_a_version_and_is_kept(self, documents: Documents, others: Documents) -> None:
        for number in range(3):
            await documents.put("policy", "iris", {"n": number})
        history = await others.history("policy", "iris")
        assert [(document.version, document.spec) for document in history] == [
            (1, {"n": 0}),
            (2, {"n": 1}),
            (3, {"n": 2}),
        ]
        assert await others.get("policy", "iris") == history[-1]
        assert list(await others.history("policy", "iri")) == []

    async def test_a_writer_that_has_not_seen_the_newest_version_conflicts(self, documents: Documents) -> None:
        await documents.put("policy", "iris", {"n": 1}, expected_version=0)
        with pytest.raises(Conflict, match="policy 'iris' is at version 1, not 0"):
            await documents.put("policy", "iris", {"n": 2}, expected_version=0)
        await documents.put("policy", "iris", {"n": 2}, expected_version=1)
        with pytest.raises(Conflict, match="at version 2, not 1"):
            await documents.put("policy", "iris", {"n": 3}, expected_version=1)
        assert len(await documents.history("policy", "iris")) == 2

    async def test_a_deletion_is_a_version(self, documents: Documents, others: Documents) -> None:
        await documents.put("policy", "iris", {"n": 1})
        deleted = await documents.put("policy", "iris", None, expected_version=1, author="bob")
        assert (deleted.spec, deleted.version, deleted.author) == (None, 2, "bob")
        assert await others.get("policy", "iris") is None
        with pytest.raises(Conflict, match="at version 0, not 2"):
            await others.put("policy", "iris", {"n": 2}, expected_version=2)
        again = await others.put("policy", "iris", {"n": 2}, expected_version=0)
        assert again.version == 3
        assert [document.spec for document in await documents.history("policy", "iris")] == [{"n": 1}, None, {"n": 2}]

    async def test_of_writers_at_once_exactly_one_wins(self, documents: Documents, others: Documents) -> None:
        await documents.put("policy", "iris", {"n": 0})
        faces = [documents, others] * 5
        outcomes = await asyncio.gather(
            *(face.put("policy", "iris", {"n": 1}, expected_version=1) for face in faces), return_exceptions=True
        )
        assert len([outcome for outcome in outcomes if isinstance(outcome, Document)]) == 1
        assert len([outcome for outcome in outcomes if isinstance(outcome, Conflict)]) == len(faces) - 1
        assert len(await documents.history("policy", "iris")) == 2

    async def test_unconditional_writers_at_once_all_succeed(self, documents: Documents, others: Documents) -> None:
        faces = [documents, others] * 5
        written = await asyncio.gather(*(face.put("policy", "iris", {"n": n}) for n, face in enumerate(faces)))
        assert sorted(document.version for document in written) == list(range(1, 11))
        assert len(await documents.history("policy", "iris")) == 10

    async def test_the_history_is_bounded(self, documents: Documents) -> None:
        for number in range(103):
            await documents.put("policy", "iris", {"n": number})
        history = await documents.history("policy", "iris")
        assert [document.version for document in history] == list(range(4, 104))

    async def test_a_watcher_sees_what_is_there_and_each_newer_state(
        self, documents: Documents, others: Documents
    ) -> None:
        one = await documents.put("policy", "one", {"n": 1})
        watch = others.watch()
        assert dict(await first(watch)) == {("policy", "one"): one}
        two = await documents.put("split", "two", {"n": 2})
        assert dict(await seen(watch, "two", 1)) == {("policy", "one"): one, ("split", "two"): two}
        await documents.put("policy", "one", None)
        assert dict(await seen(watch, "one", 0)) == {("split", "two"): two}

    async def test_a_watcher_of_one_kind_sees_only_that(self, documents: Documents, others: Documents) -> None:
        watch = others.watch("policy")
        assert dict(await first(watch)) == {}
        await documents.put("split", "two", {"n": 2})
        one = await documents.put("policy", "one", {"n": 1})
        assert dict(await seen(watch, "one", 1)) == {("policy", "one"): one}

    async def test_an_unchanged_document_is_the_same_object_in_the_next_snapshot(
        self, documents: Documents, others: Documents
    ) -> None:
        await documents.put("policy", "one", {"n": 1})
        watch = others.watch()
        before = await first(watch)
        await documents.put("policy", "two", {"n": 2})
        after = await seen(watch, "two", 1)
        assert after["policy", "one"] is before["policy", "one"]
