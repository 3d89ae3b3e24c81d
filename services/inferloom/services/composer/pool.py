"""Processes for steps that keep a CPU busy.

Each worker is a pool of one process, so that one whose step does not stop can be ended without touching the others. They are
started when first needed, by `forkserver`, and import the step anew by its reference: its file must be importable there as
it is here.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import util
from typing import Any

from grpc import StatusCode

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import DeadlineExceeded, ReplicaError
from inferloom.services.composer.batcher import call_at
from inferloom.services.declare.step import StepDeclaration

__all__ = ["Pool", "Pools"]

LONGEST_FOLDER = 60  # bytes, which leave room for pymp-XXXXXXXX/listener-XXXXXXXX


class Pools:
    """A pool for each step that wants one.

    Args:
        clock: deadlines are on it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pools: dict[tuple[str, int], Pool] = {}

    def of(self, step: StepDeclaration) -> Pool:
        key = (step.reference, step.cpus)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(step.cpus, self._clock)
        return pool

    def forget(self) -> None:
        """Start anew with the next call: the code has changed. What runs ends first."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close(now=False)

    def close(self) -> None:
        """End all processes."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


class Pool:
    """As many workers as a step has CPUs; who comes when all are busy waits for one."""

    def __init__(self, cpus: int, clock: Clock) -> None:
        self._clock = clock
        self._idle = [_Worker() for _ in range(cpus)]
        self._all = list(self._idle)
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    async def run(self, reference: str, arguments: dict[str, Any], deadline: float) -> Any:
        """What the function of that name returns.

        Raises:
            DeadlineExceeded: it took longer; its process has been ended.
            ReplicaError: UNAVAILABLE, its process died.
        """
        worker = await self._take(deadline)
        future = asyncio.wrap_future(worker.submit(_call, reference, arguments))
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            future.cancel()

        timer = call_at(self._clock, deadline, expire)
        try:
            return await future
        except BrokenProcessPool:
            raise ReplicaError(StatusCode.UNAVAILABLE, "its process died") from None
        except asyncio.CancelledError:
            worker.kill()  # what it does now, nobody waits for
            task = asyncio.current_task()
            if late and not (task is not None and task.cancelling()):
                raise DeadlineExceeded("it took longer than it had") from None
            raise
        finally:
            timer.cancel()
            self._give(worker)

    def close(self, *, now: bool = True) -> None:
        self._closed = True
        for worker in self._all if now else self._idle:
            worker.kill()

    async def _take(self, deadline: float) -> _Worker:
        while not self._idle:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            timer = call_at(self._clock, deadline, lambda turn=turn: turn.cancel())  # type: ignore[misc]
            try:
                await turn
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                raise DeadlineExceeded("all of its processes were busy until the deadline") from None
            finally:
                timer.cancel()
                with suppress(ValueError):
                    self._waiting.remove(turn)
        return self._idle.pop()

    def _give(self, worker: _Worker) -> None:
        if self._closed:
            worker.kill()
        self._idle.append(worker)
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
                break


class _Worker:
    """One process, started with its first task, and anew after it has died."""

    def __init__(self) -> None:
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._executor is None:
            _make_room_for_a_socket()
            context = multiprocessing.get_context("forkserver")
            self._executor = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(list(sys.path),))
        try:
            return self._executor.submit(function, *arguments)
        except BrokenProcessPool:
            self.kill()
            return self.submit(function, *arguments)

    def kill(self) -> None:
        executor, self._executor = self._executor, None
        if executor is None:
            return
        for process in list((executor._processes or {}).values()):
            process.kill()
        executor.shutdown(wait=False, cancel_futures=True)


def _make_room_for_a_socket() -> None:
    """The fork server listens on a socket in a folder below $TMPDIR, and the path of a socket has 107 bytes."""
    if len(tempfile.gettempdir()) <= LONGEST_FOLDER:
        return
    before, tempfile.tempdir = tempfile.tempdir, "/tmp"  # noqa: S108
    try:
        util.get_temp_dir()  # made now and remembered
    finally:
        tempfile.tempdir = before


def _begin(path: list[str]) -> None:
    """In the new process: find modules where its parent finds them."""
    sys.path[:] = path


def _call(reference: str, arguments: dict[str, Any]) -> Any:
    """In the process: the function itself, below its @step."""
    module, _, name = reference.partition(":")
    step = getattr(importlib.import_module(module), name)
    return step.declaration.function(**arguments)
