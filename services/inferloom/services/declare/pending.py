"""What a call returns at once: an answer that is on its way.

A `Pending` may be awaited, by several, or passed on unresolved as the input of another call. Calls belong to the scope they
were begun in (a host opens one around each request): what is still under way when it ends is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextvars import ContextVar, Token
from typing import Any, Generic, NoReturn, Self, TypeVar, cast

import structlog

__all__ = ["Pending", "resolved", "scope"]

log = structlog.get_logger(__name__)
T_co = TypeVar("T_co", covariant=True)

_scope: ContextVar[scope | None] = ContextVar("inferloom_scope", default=None)
_kept: set[asyncio.Task[Any]] = set()  # the loop itself keeps only weak references


class Pending(Awaitable[T_co], Generic[T_co]):
    """An answer that is on its way, or one output of it (`out.label`, `out["label"]`).

    Made in a running event loop it has begun already; otherwise it begins when it is awaited. One who awaits it and is
    cancelled takes the call with him, unless somebody else waits for it too.

    Args:
        begin: makes the coroutine of the call; called once.
        what: the call, for messages.
    """

    __slots__ = ("_begin", "_seen", "_task", "_waiting", "_what")

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T_co]], what: str) -> None:
        self._begin = begin
        self._what = what
        self._task: asyncio.Task[T_co] | None = None
        self._waiting = 0
        self._seen = False  # somebody got the outcome
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self._start()

    def __await__(self) -> Generator[Any, None, T_co]:
        return self._outcome().__await__()

    def __getattr__(self, name: str) -> Any:
        """That output of the answer, on its way too."""
        if name.startswith("_"):
            raise AttributeError(name)
        return _Output(self, name, getattr)

    def __getitem__(self, name: Any) -> Any:
        return _Output(self, name, lambda answer, key: answer[key])

    def __repr__(self) -> str:
        state = "not begun" if self._task is None else "done" if self._task.done() else "under way"
        return f"<Pending {self._what}: {state}>"

    def _unresolved(self, *_: Any) -> NoReturn:
        raise TypeError(f"the answer of {self._what} is still on its way: write `await` before the call")

    __bool__ = __iter__ = __len__ = __array__ = __float__ = __int__ = _unresolved

    def _start(self) -> asyncio.Task[T_co]:
        task = self._task
        if task is None:
            task = self._task = asyncio.create_task(self._begin(), name=self._what)
            _kept.add(task)
            task.add_done_callback(_forget)
            calls = _scope.get()
            if calls is not None:
                calls.add(self)
        return task

    async def _outcome(self) -> T_co:
        task = self._start()
        self._waiting += 1
        self._seen = True
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._waiting == 1 and not task.done():
                task.cancel()
            raise
        finally:
            self._waiting -= 1


class _Output(Pending[Any]):
    """One output of an answer: it needs no task of its own."""

    __slots__ = ("_name", "_parent", "_pick")

    def __init__(self, parent: Pending[Any], name: Any, pick: Callable[[Any, Any], Any]) -> None:
        self._parent = parent
        self._name = name
        self._pick = pick
        self._what = f"{parent._what}.{name}"

    def __await__(self) -> Generator[Any, None, Any]:
        answer = yield from self._parent.__await__()
        return self._pick(answer, self._name)

    def __repr__(self) -> str:
        return f"<Pending {self._name!r} of {self._parent!r}>"


class scope:  # noqa: N801 - used as a function: `with scope():`
    """The calls begun within; those still under way at its end are cancelled, failures that nobody saw are logged.

    with scope():
        answer = await method(**arguments)
    """

    __slots__ = ("_calls", "_token")

    def __init__(self) -> None:
        self._calls: list[Pending[Any]] | None = None
        self._token: Token[scope | None] | None = None

    def add(self, call: Pending[Any]) -> None:
        if self._calls is None:
            self._calls = []
        self._calls.append(call)

    def __enter__(self) -> Self:
        self._token = _scope.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _scope.reset(self._token)
        for call in self._calls or ():
            task = call._task
            if task is None:
                continue
            if not task.done():
                task.cancel()
            elif not call._seen and not task.cancelled() and (error := task.exception()) is not None:
                log.warning("a call that nobody awaited failed", call=call._what, error=str(error))
        self._calls = None


async def resolved(value: Any) -> Any:
    """The value with every `Pending` in it awaited, those in a list, tuple or mapping included."""
    if isinstance(value, Pending):
        return await value
    if isinstance(value, list | tuple) and any(isinstance(item, Pending) for item in value):
        items = await asyncio.gather(*(resolved(item) for item in value))
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping) and any(isinstance(item, Pending) for item in value.values()):
        items = await asyncio.gather(*(resolved(item) for item in value.values()))
        return dict(zip(value, items, strict=True))
    return value


def _forget(task: asyncio.Task[Any]) -> None:
    """Marks a failure as seen: who awaits it gets it, and the scope logs what nobody awaited."""
    _kept.discard(task)
    if not task.cancelled():
        cast(Any, task).exception()
