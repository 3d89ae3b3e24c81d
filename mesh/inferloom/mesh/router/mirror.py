"""Mirror arms: copies of real requests, whose answers are compared with the real ones and thrown away.

A mirror can neither delay nor harm what it copies. It is sent after the real request, in a task of its own; its failures
say nothing to its replica's breaker, average or retry budget, for the same replica may serve the real traffic; it is tried
once; and it is left out, and counted so, where the process is busy, where the model has effects, and for sequences.
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import NamedTuple

import structlog

from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import status_of
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.admission import Admission
from inferloom.mesh.router.endpoint import Endpoint, may_serve
from inferloom.mesh.router.live_split import LiveSplit, aimed
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.split import Arm
from inferloom.mesh.splits.figures import ArmFigures
from inferloom.mesh.telemetry.tracing_rpc import ask, sent_with

__all__ = ["LARGEST", "MARK", "Copy", "Mirrors"]

log = structlog.get_logger(__name__)

MARK = ("x-inferloom-mirror", "1")  # metadata of copies: what has effects refuses them further down, too
MOST = 64  # copies under way in a process
LARGEST = 1 << 20  # bytes of an answer that is compared
INLINE = 1 << 16  # bytes of both answers up to which comparing is not worth a thread


class Real(NamedTuple):
    """How the real request ended; `payload` None: with an error."""

    payload: bytes | None
    seconds: float


class Copy:
    """One copy on its way. `ended` must be called with the real outcome, or `drop` where there is none."""

    __slots__ = ("_real", "arm", "task")

    def __init__(self, arm: Arm, real: asyncio.Future[Real], task: asyncio.Task[None]) -> None:
        self.arm = arm
        self.task = task
        self._real = real

    def ended(self, payload: bytes | None, seconds: float) -> None:
        if not self._real.done():
            self._real.set_result(Real(payload, seconds))

    def drop(self) -> None:
        """The caller went away: there is nothing to compare with."""
        self.task.cancel()


class Mirrors:
    """Sends the copies of a process."""

    def __init__(self, pool: Pool, admission: Admission, clock: Clock, rng: random.Random) -> None:
        self._pool = pool
        self._admission = admission
        self._clock = clock
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, live: LiveSplit, call: Call, request_id: str) -> list[Copy]:
        """Send the request to each mirror arm whose turn it is. The tasks begin once the caller waits for something."""
        copies: list[Copy] = []
        if MARK in call.metadata:
            return copies  # it is one itself
        for arm in live.split.mirrors:
            if arm.sample < 1 and self._rng.random() >= arm.sample:
                continue
            figures = live.figures.of(arm)
            aim = aimed(call, arm)
            endpoint, reason = self._endpoint(call, aim)
            if endpoint is None:
                figures.mirror.skip(reason)
                continue
            real: asyncio.Future[Real] = asyncio.get_running_loop().create_future()
            aim = aim._replace(metadata=(*call.metadata, MARK))
            # Taken here and not in the task: a task that is cancelled before it begins runs nothing, not even `finally`.
            self._admission.take(len(aim.payload))
            task = asyncio.create_task(
                self._run(aim, endpoint, arm.name, figures, real, request_id),
                name=f"mirror {live.split.name} {arm.name}",
            )
            self._tasks.add(task)
            task.add_done_callback(partial(self._give_back, len(aim.payload)))
            copies.append(Copy(arm, real, task))
        return copies

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _give_back(self, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._admission.give(size)

    def _endpoint(self, call: Call, aim: Call) -> tuple[Endpoint | None, str]:
        """Where a copy goes, or why it does not."""
        group = self._pool.groups.get(aim.model)
        own = self._pool.groups.get(call.model)
        if group is None:
            return None, "unserved"
        if group.model.repeat is Repeat.NEVER or (own is not None and own.model.repeat is Repeat.NEVER):
            return None, "effects"
        if call.affinity is not None:
            return None, "sequence"
        size = len(aim.payload)
        if len(self._tasks) >= MOST or self._admission.bytes + size > self._admission.most // 2:
            return None, "busy"  # half of the room is always the real requests'
        if group.policy.concurrency and 2 * (group.in_flight + 1) > group.policy.concurrency:
            return None, "busy"
        able = [
            endpoint
            for endpoint in group.endpoints.values()
            if endpoint.replica.usable
            and endpoint.health.state is BreakerState.CLOSED
            and may_serve(endpoint.replica, aim.version)
        ]
        if not able:
            return None, "unserved"
        now = self._clock.now()
        return min(able, key=lambda endpoint: endpoint.load.cost(now, endpoint.replica.weight)), ""

    async def _run(
        self, aim: Call, endpoint: Endpoint, arm: str, figures: ArmFigures, real: asyncio.Future[Real], request_id: str
    ) -> None:
        try:
            began = self._clock.now()
            mirrored = await self._ask(aim, endpoint, arm, figures, began)
            theirs = await real
            await _compare(aim.method, theirs, mirrored, figures, request_id)
        except Exception as error:  # nobody waits for this task: what is wrong in it must not pass unseen
            log.error("mirror failed unexpectedly", model=aim.model, exc_info=error)

    async def _ask(self, aim: Call, endpoint: Endpoint, arm: str, figures: ArmFigures, began: float) -> bytes | None:
        """The mirror's answer; None where it is an error."""
        endpoint.load.begin()
        try:
            timeout = min(aim.deadline - began, self._pool.group(aim.model).policy.timeout)
            with ask(endpoint.replica, aim) as span:
                if span is not None:
                    span.set(mirror=True, arm=arm)
                metadata = sent_with(aim.metadata, span, endpoint.replica)
                reply = await endpoint.channel.send(aim.method, aim.payload, timeout, metadata, endpoint.active)
                if span is not None:
                    span.answered()
        except Exception as error:
            figures.finished(status_of(error).code.name, self._clock.now() - began)
            return None
        finally:
            endpoint.load.done(Verdict.IGNORED, 0.0, self._clock.now())
        figures.finished("OK", self._clock.now() - began)
        return reply.payload


async def _compare(method: str, real: Real, mirrored: bytes | None, figures: ArmFigures, request_id: str) -> None:
    from inferloom.mesh.splits.compare import compare

    told = figures.mirror
    if real.payload is None or mirrored is None:
        if real.payload is mirrored:
            told.skip("both-failed")
        else:
            told.failed += 1
        return
    if max(len(real.payload), len(mirrored)) > LARGEST:
        told.skip("large")
        return
    try:
        if len(real.payload) + len(mirrored) <= INLINE:
            comparison = compare(method, real.payload, mirrored)
        else:
            comparison = await asyncio.to_thread(compare, method, real.payload, mirrored)
    except ValueError:  # not every server answers what it was asked
        told.skip("unreadable")
        return
    told.compared(comparison, request_id, real.seconds)
