"""Documents in Consul's key-value store: the newest version under one key, all versions under another prefix.

Both are written in one transaction that checks the newest version's index, so they never disagree and no writer
overwrites what it has not seen.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import Conflict, InferloomError, InvalidInput, RegistryUnavailable
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Document, DocumentKey, Spec
from inferloom.mesh.registry.consul.blocking import WAIT, BlockingQuery
from inferloom.mesh.registry.consul.client import Answer, ConsulClient, operation
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.parse import Entry, entry, parse
from inferloom.mesh.registry.consul.store import NONE, Store, decode_document, encode_document
from inferloom.mesh.registry.memory import HISTORY_LIMIT

__all__ = ["ConsulDocuments"]

SIZE_LIMIT = 180 * 1024  # bytes: a transaction holds it twice, in base64, and Consul takes 512 KiB
RIVALS = 50  # writers that may come first before an unconditional write gives up

log = logging.getLogger(__name__)


class ConsulDocuments:
    """See `Documents`. Watching begins with the first watcher, as one blocking query for all."""

    def __init__(
        self, client: ConsulClient, keys: Keys, *, clock: Clock, rng: random.Random, wait: float = WAIT
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._rng = rng
        self._may_read = f'key_prefix "{keys.prefix}/" {{ policy = "read" }}'
        self._may_write = f'key_prefix "{keys.prefix}/" {{ policy = "write" }}'
        self._store = Store(keys)
        self._latest: Latest[Mapping[DocumentKey, Document]] = Latest(NONE)
        self._answered = asyncio.Event()
        self._away = False
        self._task: asyncio.Task[None] | None = None
        self._query = BlockingQuery(
            client,
            f"/v1/kv/{keys.documents}",
            [("recurse", "1")],
            needs=self._may_read,
            take=self._take,
            lost=self._lost,
            found=self._found,
            clock=clock,
            rng=rng,
            wait=wait,
        )

    async def get(self, kind: str, name: str) -> Document | None:
        newest, _ = await self._newest(kind, name)
        return newest if newest is not None and newest.spec is not None else None

    async def put(
        self, kind: str, name: str, spec: Spec | None, *, expected_version: int | None = None, author: str = ""
    ) -> Document:
        """See `Documents.put`.

        Raises:
            InvalidInput: the spec is not JSON-able or too large, or the name cannot be a key.
        """
        key = self._keys.document(kind, name)
        for _ in range(RIVALS):
            newest, index = await self._newest(kind, name)
            present = newest.version if newest is not None and newest.spec is not None else 0
            if expected_version is not None and expected_version != present:
                raise Conflict(
                    f"{kind} '{name}' is at version {present}, not {expected_version}: read it and change it again"
                )
            number = newest.version + 1 if newest is not None else 1
            value = self._encoded(Document(kind, name, spec, number, author, self._clock.wall()))
            steps = [
                operation("cas", key, value, Index=index),
                operation("set", self._keys.version(kind, name, number), value),
            ]
            if number > HISTORY_LIMIT:
                steps.append(operation("delete", self._keys.version(kind, name, number - HISTORY_LIMIT)))
            written = await self._client.transaction(steps, needs=self._may_write)
            mine = base64.b64encode(value).decode()
            # A transaction whose answer was lost is sent once more, and then fails against itself.
            if written.done or await self._value(key) == mine:
                return decode_document(kind, name, mine)
            if not any("stale" in what for what in written.errors):
                raise RegistryUnavailable(f"Consul did not write {kind} '{name}': {'; '.join(written.errors)}")
        raise Conflict(f"{kind} '{name}' is being written by others all the time: try again")

    async def history(self, kind: str, name: str) -> Sequence[Document]:
        return tuple(
            self._document(kind, name, version)
            for version in sorted(await self._entries(self._keys.history(kind, name)))
        )

    async def watch(self, kind: str = "") -> AsyncIterator[Mapping[DocumentKey, Document]]:
        """See `Documents.watch`. The first snapshot comes with Consul's first answer."""
        if self._task is None:
            self._task = asyncio.create_task(self._forever(), name="consul documents")
        await self._answered.wait()
        async for documents in self._latest.watch():
            yield documents if not kind else {key: found for key, found in documents.items() if key[0] == kind}

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait({task})

    def _encoded(self, document: Document) -> bytes:
        try:
            value = encode_document(document, f"{self._rng.getrandbits(64):016x}")
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{document.kind} '{document.name}' cannot be written as JSON: {error}") from error
        if len(value) > SIZE_LIMIT:
            raise InvalidInput(
                f"{document.kind} '{document.name}' has {len(value) // 1024} KiB, and Consul takes documents of up to "
                f"{SIZE_LIMIT // 1024}: keep large things elsewhere and name them in it"
            )
        return value

    async def _newest(self, kind: str, name: str) -> tuple[Document | None, int]:
        """The newest version, deleted or not, and its ModifyIndex."""
        found = await self._entries(self._keys.document(kind, name), exact=True)
        return (self._document(kind, name, found[0]), found[0].modified) if found else (None, 0)

    async def _value(self, key: str) -> str:
        found = await self._entries(key, exact=True)
        return found[0].value if found else ""

    def _document(self, kind: str, name: str, found: Entry) -> Document:
        try:
            return decode_document(kind, name, found.value)
        except ValueError as error:
            raise InvalidInput(f"Consul's key {found.key} is not understood ({error}): write it again") from error

    async def _entries(self, key: str, *, exact: bool = False) -> list[Entry]:
        answer = await self._client.read(f"/v1/kv/{key}", [] if exact else [("recurse", "1")], needs=self._may_read)
        return await self._parsed(answer)

    async def _parsed(self, answer: Answer) -> list[Entry]:
        try:
            return await parse(answer.body, entry, Entry)
        except ValueError as error:
            raise self._client.not_consul(error) from error

    async def _take(self, answer: Answer, continuous: bool) -> None:
        self._latest.set(self._store.take(await self._parsed(answer), continuous=continuous))

    def _lost(self, error: InferloomError) -> None:
        if not self._away:
            log.warning("documents are no longer watched: %s", error)
        self._away = True

    def _found(self) -> None:
        self._away = False
        self._answered.set()

    async def _forever(self) -> None:
        while True:
            try:
                await self._query.run()
            except Exception:
                log.exception("the watch of documents failed; it begins anew")
                await self._clock.sleep(1.0)
