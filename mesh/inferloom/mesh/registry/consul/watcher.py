"""Two blocking queries, however many models there are, made into one stream of catalogs."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from inferloom.mesh.catalog import EMPTY, Catalog, Replica
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, RegistryUnavailable
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.consul.blocking import WAIT, BlockingQuery
from inferloom.mesh.registry.consul.client import Answer, ConsulClient
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.pace import retrying
from inferloom.mesh.registry.consul.parse import Entry, Status, entry, parse, status
from inferloom.mesh.registry.consul.saver import Saver
from inferloom.mesh.registry.consul.view import KEEP, View

__all__ = ["Watcher"]

RECORDS = "records"
CHECKS = "checks"
RECORDS_NEED = 'key_prefix "{prefix}/" {{ policy = "read" }}'
CHECKS_NEED = 'service_prefix "" { policy = "read" } and node_prefix "" { policy = "read" }'
SAVED_PATIENCE = 1.0  # seconds for Consul to answer at start where there is a saved snapshot to serve

log = logging.getLogger(__name__)


class Watcher:
    """Keeps `latest` as Consul says; through an outage it stays, marked as no longer fresh."""

    def __init__(
        self,
        client: ConsulClient,
        keys: Keys,
        saver: Saver | None,
        *,
        clock: Clock,
        rng: random.Random,
        wait: float = WAIT,
        keep: float = KEEP,
    ) -> None:
        self.latest: Latest[Catalog] = Latest(EMPTY)
        self._client = client
        self._keys = keys
        self._saver = saver
        self._clock = clock
        self._view = View(keys, clock, keep)
        self._confirmed: dict[str, float] = {}  # by query: when (on the clock) it was answered last
        self._failed: dict[str, InferloomError] = {}  # by query: why it is not answered now
        self._saved_at: float | None = None  # when (on the clock) the saved snapshot was confirmed, if it serves
        self._recent: Sequence[Replica] = ()  # the saved snapshot, where it is young, until the first answer
        self._unseen = False  # said once that no checks are to be seen
        self._complete = asyncio.Event()  # both queries have been answered
        self._tasks: list[asyncio.Task[None]] = []
        self._expiry: asyncio.Task[None] | None = None
        prefix = keys.prefix
        self._needs = RECORDS_NEED.format(prefix=prefix)
        filtered = [("filter", f'"{keys.tag}" in ServiceTags')]

        def query(
            name: str,
            path: str,
            params: Sequence[tuple[str, str]],
            needs: str,
            take: Callable[[Answer, bool], Awaitable[None]],
        ) -> BlockingQuery:
            return BlockingQuery(
                client,
                path,
                params,
                needs=needs,
                take=take,
                lost=lambda error: self._lost(name, error),
                found=lambda: self._found(name),
                clock=clock,
                rng=rng,
                wait=wait,
            )

        self._pause = retrying(clock, rng)
        self._queries = (
            query(RECORDS, f"/v1/kv/{keys.replicas}", [("recurse", "1")], self._needs, self._take_records),
            query(CHECKS, "/v1/health/state/any", filtered, CHECKS_NEED, self._take_checks),
        )

    @property
    def age(self) -> float:
        """Seconds since Consul last confirmed the snapshot; infinite where it never did."""
        if len(self._confirmed) == len(self._queries):
            return self._clock.now() - min(self._confirmed.values())
        return self._clock.now() - self._saved_at if self._saved_at is not None else float("inf")

    async def start(self, patience: float) -> None:
        """Begin to watch; returns with the first snapshot: Consul's, or where it does not answer the saved one.

        Raises:
            RegistryUnavailable: Consul does not answer within `patience` seconds, and nothing was saved.
            Forbidden, Unauthenticated: it refuses.
        """
        if self._tasks:
            return
        saved = await self._saver.load() if self._saver is not None else None
        serves = saved is not None and bool(saved.replicas)
        try:
            await self._reach(min(patience, SAVED_PATIENCE) if serves else patience)
        except RegistryUnavailable as error:
            if saved is None or not serves:
                raise
            age = max(0.0, self._clock.wall() - saved.confirmed)
            log.warning("%s; until then %d replicas as they were %d s ago serve", error, len(saved.replicas), age)
            self._saved_at = self._clock.now() - age
            self._view.seed(saved.replicas)
            self._publish()
            self._run()
            return
        if saved is not None and self._clock.wall() - saved.confirmed < KEEP:
            self._recent = saved.replicas
        self._run()
        try:
            async with asyncio.timeout(patience):
                await self._complete.wait()
        except TimeoutError:
            await self.close()
            raise next(iter(self._failed.values()), RegistryUnavailable("Consul did not answer in time")) from None

    async def close(self) -> None:
        tasks = [*self._tasks, *([self._expiry] if self._expiry is not None else [])]
        self._tasks, self._expiry = [], None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _reach(self, patience: float) -> None:
        """A list that may not be read is empty, without a word; a single key that may not be read is an error."""
        failure: RegistryUnavailable | None = None
        try:
            async with asyncio.timeout(patience):
                async for attempt in self._pause:
                    with attempt:
                        try:
                            await self._client.call(lambda consul: consul.kv.get(self._keys.replicas), self._needs)
                        except RegistryUnavailable as error:
                            failure = error
                            raise
        except TimeoutError:
            raise failure or RegistryUnavailable(
                f"Consul at {self._client.settings.address} does not answer in {patience:g} s: look at the agent's log"
            ) from None

    def _run(self) -> None:
        for query in self._queries:
            self._tasks.append(asyncio.create_task(self._forever(query), name="consul watch"))

    async def _forever(self, query: BlockingQuery) -> None:
        while True:
            try:
                await query.run()
            except Exception:
                log.exception("the watch of Consul failed; it begins anew")
                await self._clock.sleep(1.0)

    async def _take_records(self, answer: Answer, continuous: bool) -> None:
        try:
            entries = await parse(answer.body, entry, Entry)
        except ValueError as error:
            raise self._client.not_consul(error) from error
        if not entries and self._recent:
            # Consul was started again as well and knows nothing yet: what vanished is kept, here as elsewhere.
            self._view.seed(self._recent)
        self._recent = ()
        self._view.records(entries, continuous=continuous)

    async def _take_checks(self, answer: Answer, continuous: bool) -> None:
        try:
            statuses = await parse(answer.body, status, Status)
        except ValueError as error:
            raise self._client.not_consul(error) from error
        self._view.verdicts(statuses)
        if not statuses and self._view.replicas() and not self._unseen:
            self._unseen = True
            log.warning("Consul states no checks at all: it has just restarted, or the token lacks %s", CHECKS_NEED)

    def _lost(self, name: str, error: InferloomError) -> None:
        if not self._failed:
            log.warning("%s; the last good catalog serves", error)
        self._failed[name] = error
        self._publish()

    def _found(self, name: str) -> None:
        if self._failed.pop(name, None) is not None and not self._failed:
            log.info("Consul at %s answers again", self._client.settings.address)
        self._confirmed[name] = self._clock.now()
        self._publish()

    def _publish(self) -> None:
        complete = len(self._confirmed) == len(self._queries)
        if not complete and self._saved_at is None:
            return  # records without verdicts would show broken replicas as healthy
        fresh = complete and not self._failed
        self.latest.set(Catalog.build(self._view.replicas(), self.latest.value, fresh=fresh))
        if complete:
            self._complete.set()
        if fresh and self._saver is not None:
            self._saver.confirmed(self.latest.value)
        if self._view.expires is not None and (self._expiry is None or self._expiry.done()):
            self._expiry = asyncio.create_task(self._expire(), name="consul expiry")

    async def _expire(self) -> None:
        """Publish again when a vanished replica's time is over."""
        while (until := self._view.expires) is not None:
            await self._clock.sleep(max(0.0, until - self._clock.now()))
            self.latest.set(Catalog.build(self._view.replicas(), self.latest.value, fresh=self.latest.value.fresh))
