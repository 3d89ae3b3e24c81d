"""Runs users' code: async functions in the loop, plain ones in threads, each no longer than its caller waits.

Each call is a task of its own. So the caller has his DEADLINE_EXCEEDED in time even where the code takes no notice of its
cancellation; and code that goes on for longer than `grace` after it is reported, since nothing but the end of the process
will stop it.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from typing import Any

import structlog

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import DeadlineExceeded, InferloomError
from inferloom.services.context import CallContext, current
from inferloom.services.declare.pending import scope
from inferloom.services.host.fault import inside
from inferloom.services.host.watchdog import stack_of
from inferloom.services.host.work_times import WorkTimes

__all__ = ["Work"]

log = structlog.get_logger(__name__)

Function = Callable[..., Any]
Arguments = Mapping[str, Any]

THREADS = 64  # of plain functions, per process
_END = object()


class _Turn:
    """When a call's own code began."""

    __slots__ = ("began",)

    def __init__(self, began: float) -> None:
        self.began = began


class Work:
    """Everything of users' that runs in this process.

    Args:
        grace: seconds that a call may still take after its deadline or cancellation.
        stuck: told of a call that took longer.
    """

    def __init__(self, grace: float, stuck: Callable[[str], None], clock: Clock = SYSTEM) -> None:
        self._grace = grace
        self._stuck = stuck
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "service")
        self.times = WorkTimes()
        self.stopping: set[Any] = set()  # tasks and threads' futures that were told to stop and have not yet

    async def call(self, function: Function, arguments: Arguments, context: CallContext, name: str) -> Any:
        """What the function returns.

        Raises:
            DeadlineExceeded: it did not return in time; it was cancelled.
            InferloomError: of a call that it made and did not catch.
            Exception: its own.
        """
        task = self._begin(self._timed(function, arguments, name), context, name)
        try:
            await self._wait(task, context, name)
        except BaseException:
            self.abandon(task, name)
            raise
        return _outcome(task)

    async def stream(
        self, function: Function, arguments: Arguments, context: CallContext, name: str
    ) -> AsyncGenerator[Any, None]:
        """What the generator function (async or not) yields, one by one; as `call`."""
        items: asyncio.Queue[Any] = asyncio.Queue(1)
        task = self._begin(self._fed(function, arguments, items), context, name)
        try:
            while True:
                taking = asyncio.ensure_future(items.get())
                try:
                    await self._wait(taking, context, name)
                finally:
                    taking.cancel()
                item = taking.result()
                if item is _END:
                    await self._wait(task, context, name)
                    break
                yield item
        finally:
            if not task.done():
                self.abandon(task, name)
        _outcome(task)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, coroutine: Coroutine[Any, Any, Any], context: CallContext, name: str) -> asyncio.Task[Any]:
        token = current.set(context)
        try:
            return asyncio.create_task(coroutine, name=name)
        finally:
            current.reset(token)

    async def _wait(self, future: asyncio.Future[Any], context: CallContext, name: str) -> None:
        done, _ = await asyncio.wait({future}, timeout=context.deadline - self._clock.now())
        if not done:
            raise DeadlineExceeded(f"'{name}' did not answer before the deadline")

    def _timed(self, function: Function, arguments: Arguments, name: str) -> Coroutine[Any, Any, Any]:
        came, now = self._clock.now(), self._clock.now

        async def timed() -> Any:
            turn = _Turn(now())
            try:
                return await self._called(function, arguments, turn)
            finally:
                self.times.ran(name, came, turn.began, now())

        return timed()

    async def _called(self, function: Function, arguments: Arguments, turn: _Turn) -> Any:
        with _staying():
            if not is_async(function):

                def run(**given: Any) -> Any:
                    turn.began = self._clock.now()
                    return function(**given)

                run.__qualname__ = getattr(function, "__qualname__", str(function))
                return await self._threaded(run, arguments)
            with scope():
                return await function(**arguments)

    async def _fed(self, function: Function, arguments: Arguments, items: asyncio.Queue[Any]) -> None:
        try:
            with _staying(), scope():
                async with aclosing(self._items(function, arguments)) as answers:
                    async for answer in answers:
                        await items.put(answer)
        finally:
            if not asyncio.current_task().cancelling():  # type: ignore[union-attr]
                await items.put(_END)

    async def _items(self, function: Function, arguments: Arguments) -> AsyncGenerator[Any, None]:
        if not inspect.isasyncgenfunction(function):
            made = function(**arguments)
            if inspect.isawaitable(made):
                made = await made
            if not hasattr(made, "__aiter__"):
                async for item in self._drawn(iter(made)):
                    yield item
                return
        else:
            made = function(**arguments)
        try:
            async for item in made:
                yield item
        finally:
            if hasattr(made, "aclose"):
                await made.aclose()

    async def _drawn(self, items: Iterator[Any]) -> AsyncGenerator[Any, None]:
        """A plain generator's items, each made in a thread."""
        try:
            while (item := await self._threaded(next, {}, items, _END)) is not _END:
                yield item
        finally:
            if hasattr(items, "close"):
                await self._threaded(items.close, {})

    async def _threaded(self, function: Function, arguments: Arguments, *positional: Any) -> Any:
        place: list[int] = []

        def run() -> Any:
            place.append(threading.get_ident())
            return function(*positional, **arguments)

        future = self._threads.submit(copy_context().run, run)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():
                self._watch(future, getattr(function, "__qualname__", str(function)), lambda: stack_of(place[0]))
            raise

    def abandon(self, task: asyncio.Task[Any], name: str) -> None:
        """Cancel it, and report it where it has not ended within `grace`."""
        if task.done():
            if not task.cancelled():
                task.exception()  # seen
            return
        task.cancel()
        self._watch(task, name, lambda: _task_stack(task))

    def _watch(self, running: asyncio.Task[Any] | Future[Any], name: str, stack: Callable[[], str]) -> None:
        loop = asyncio.get_running_loop()
        self.stopping.add(running)

        def look() -> None:
            if not running.done():
                log.error("a call does not stop", call=name, after=self._grace, stack=stack())
                self._stuck(name)

        timer = loop.call_later(self._grace, look)

        def ended(done: Any) -> None:
            timer.cancel()
            self.stopping.discard(running)
            if not done.cancelled():
                done.exception()  # nobody waits for it any more

        if isinstance(running, Future):
            running.add_done_callback(lambda done: _soon(loop, ended, done))
        else:
            running.add_done_callback(ended)


@contextmanager
def _staying() -> Iterator[None]:
    """A call that ends the process (`exit()`) would take all others with it."""
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"the code asked to end the process (SystemExit: {error.code})") from None


def is_async(function: Function) -> bool:
    """Whether calling it gives something to await: also an object whose `__call__` is async."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _outcome(task: asyncio.Task[Any]) -> Any:
    if task.cancelled():
        raise RuntimeError("the code cancelled itself")
    try:
        return task.result()
    except InferloomError as error:
        raise inside(error) from error


def _task_stack(task: asyncio.Task[Any]) -> str:
    text = io.StringIO()
    task.print_stack(file=text)
    return text.getvalue()


def _soon(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: Any) -> None:
    """From a thread; the loop may have been closed since."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        return
