"""Natural batching: requests that come while others are under way are joined; a lone request is never delayed.

At most as many batches are in flight as the models behind can work on at once (see `Batcher._worth`). What comes meanwhile
gathers, and goes out together as soon as one of them is done. There is no timer: the load itself sets the size of the
batches. (What TensorFlow Serving and Triton call dynamic batching waits up to a set delay; "natural" or "smart" batching,
after M. Thompson, never does.)
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from inferloom.mesh.clock import Clock, SystemClock
from inferloom.mesh.errors import DeadlineExceeded, NoReplica
from inferloom.services.composer.counts import BatchCounts

__all__ = ["Batcher", "Member", "Timer", "call_at"]


DECAY = 0.3  # share of a batch in the moving averages
SHORT = 0.008  # seconds: the work of ours in a batch of three stages is about one millisecond
ROUNDS = 16  # of the event loop, at most, before a batch goes out


class Timer(Protocol):
    def cancel(self) -> object: ...


def call_at(clock: Clock, when: float, callback: Callable[[], None]) -> Timer:
    """Call back at a time of the clock. The system's is the loop's own, which needs no task."""
    if isinstance(clock, SystemClock):
        return asyncio.get_running_loop().call_at(when, callback)

    async def later() -> None:
        await clock.sleep(when - clock.now())
        callback()

    return asyncio.create_task(later())


T = TypeVar("T")


class Member(Generic[T]):
    """One caller's part of a batch.

    Args:
        load: what is to be done.
        rows: how many rows that is.
        deadline: absolute; ends this caller's wait, and nobody else's.
        where: for the message when it does.
    """

    __slots__ = ("_batch", "came", "deadline", "future", "load", "rows", "where")

    def __init__(self, load: T, rows: int, deadline: float, where: str) -> None:
        self.load = load
        self.rows = rows
        self.deadline = deadline
        self.where = where
        self.came = 0.0  # when it was submitted
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._batch: _Batch[T] | None = None

    def done(self, error: BaseException | None = None) -> None:
        """It has been answered, or failed. Nothing where the caller has gone."""
        if self.future.done():
            return
        if self._batch is not None:
            self._batch.waiting -= 1
            self._batch = None
        if error is None:
            self.future.set_result(None)
        else:
            self.future.set_exception(error)

    def expire(self) -> None:
        """Its deadline has passed: it leaves the batch, which may go on for the others."""
        if not self.future.done():
            self.future.set_exception(DeadlineExceeded(f"{self.where}: the deadline passed"))


class _Batch(Generic[T]):
    """Members under way, and the task that works for them: it is cancelled when the last of them has gone."""

    __slots__ = ("abandoned", "task", "waiting")

    def __init__(self, members: Sequence[Member[T]], task: asyncio.Task[None]) -> None:
        self.waiting = len(members)
        self.task = task
        self.abandoned = False
        for member in members:
            member._batch = self

    def leave(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.abandoned = True
            self.task.cancel()


class Batcher(Generic[T]):
    """Joins what may be joined and runs it.

    Args:
        run: works on a batch and calls `done` of each member.
        most: rows of a batch. A member with more stands alone; whoever runs it says what is to happen.
        allowed: batches in flight, at least 1; may be changed at any time.
        width: those of them that work at the same time where each stage of a unit is taken (replicas times instances).
    """

    def __init__(self, run: Callable[[list[Member[T]]], Awaitable[None]], most: int, clock: Clock) -> None:
        self.most = most
        self.allowed = 1
        self.width = 1
        self.in_flight = 0
        self.counts = BatchCounts()
        self._rows = 0  # in flight
        self._load = 1.0  # rows in flight and waiting, lately
        self._seconds = 0.0  # that a batch takes, lately
        self._waiting = 0  # rows in the queues, of callers who have gone among them
        self.batches = 0  # so far
        self.members = 0
        self._run = run
        self._clock = clock
        self._queues: dict[Hashable, deque[Member[T]]] = {}  # in the order in which each was begun
        self._workers: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Rows in the queues."""
        return self._waiting

    async def submit(self, key: Hashable, member: Member[T]) -> None:
        """Wait until it has been answered.

        Args:
            key: only members with the same one may be joined.

        Raises:
            DeadlineExceeded: its deadline passed. The rows of one that is under way are worked on to the end.
        """
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
        queue.append(member)
        self._waiting += member.rows
        member.came = self._clock.now()
        if self._worth():
            self.in_flight += 1
            task = asyncio.create_task(self._work())
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        timer = call_at(self._clock, member.deadline, member.expire)
        future = member.future
        try:
            await future
        except (asyncio.CancelledError, DeadlineExceeded):
            if member._batch is not None:
                member._batch.leave()
            raise
        finally:
            timer.cancel()

    def _worth(self) -> bool:
        """Whether another batch shall go out now.

        The first always does. A further one goes where batches take long, so that the models behind would idle, and when
        its share of the load has gathered: after a batch has been answered its callers come back one by one, and a batch for
        each of them would cost as much as one for all. Where batches are short our own work is what takes the time, and
        fewer, larger ones are faster.
        """
        if not self.in_flight:
            return True
        if self.in_flight >= self.allowed or (self._seconds < SHORT and self.in_flight >= self.width):
            return False
        return self._waiting * self.allowed >= self._load

    async def close(self) -> None:
        """End what is under way."""
        workers = tuple(self._workers)
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        """Batches, one after the other, until nothing waits."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                await self._settle()
                present = self._rows + self._waiting
                self._load = max(present, self._load + DECAY * (present - self._load))
                members = self._next()
                if not members:
                    break
                self.batches += 1
                self.members += len(members)
                rows = sum([member.rows for member in members])
                self._rows += rows
                began = self._clock.now()
                self._count(members, rows, began)
                try:
                    await self._one(members, task)
                finally:
                    self._rows -= rows
                    self._seconds += DECAY * (self._clock.now() - began - self._seconds)
                self.in_flight -= 1
                again = self._waiting > 0 and self._worth()
                self.in_flight += 1
                if not again:
                    break
        finally:
            self.in_flight -= 1

    def _count(self, members: list[Member[T]], rows: int, began: float) -> None:
        counts = self.counts
        counts.requests += len(members)
        counts.rows.add(rows)
        for member in members:
            counts.queue.add(began - member.came)

    async def _settle(self) -> None:
        """Let those come that are already at the door: as long as each round of the event loop brings another.

        Nothing is waited for: on an idle system it is one round, some microseconds.
        """
        for _ in range(ROUNDS):
            before = self._waiting
            await asyncio.sleep(0)
            if self._waiting == before or self._waiting >= self.most:
                return

    async def _one(self, members: list[Member[T]], task: asyncio.Task[None]) -> None:
        batch = _Batch(members, task)
        try:
            await self._run(members)
        except asyncio.CancelledError:
            if not batch.abandoned or task.uncancel():
                raise
        except Exception as error:
            for member in members:
                member.done(error)
        finally:
            for member in members:
                member._batch = None
                if not member.future.done():
                    member.future.set_exception(NoReplica(f"{member.where}: the composer stops"))

    def _next(self) -> list[Member[T]]:
        """Those that go together next: of the queue that has waited longest."""
        found: list[Member[T]] = []
        while self._queues and not found:
            key, queue = next(iter(self._queues.items()))
            rows = 0
            while queue:
                member = queue[0]
                if not member.future.done():
                    if found and rows + member.rows > self.most:
                        break
                    found.append(member)
                    rows += member.rows
                queue.popleft()
                self._waiting -= member.rows
            del self._queues[key]
            if queue:
                self._queues[key] = queue  # behind the others
        return found
