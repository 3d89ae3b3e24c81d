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

from inferloom.mesh.errors import InferloomError

__all__ = ["Pending", "resolved", "scope"]

log = structlog.get_logger(__name__)
T_co = TypeVar("T_co", covariant=True)

_scope: ContextVar[scope | None] = ContextVar("inferloom_scope", default=None)
_kept: set[asyncio.Task[Any]] = set()  # the loop itself keeps only weak references


class Pending(Awaitable[T_co], Generic[T_co]):
    """An answer that is on its way, or one output of it (`out.label`, `out["label"]`).

    Made in a running event loop it begins as a task of its own, in the loop's next turn. Awaited before that, as in
    `await digits(x)`, it runs in the task that awaits it, which is quicker; without a loop it begins when it is awaited.
    One who awaits it and is cancelled takes the call along, unless it is a task and somebody else waits for it too.

    Args:
        begin: makes the coroutine of the call; called once.
        what: the call, for messages.
    """

    __slots__ = ("_begin", "_ended", "_outcome", "_runner", "_seen", "_soon", "_task", "_waiting", "_what")

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, T_co]], what: str) -> None:
        self._begin = begin
        self._what = what
        self._task: asyncio.Task[T_co] | None = None
        self._runner: asyncio.Task[Any] | None = None  # who awaited it before it was a task
        self._outcome: tuple[T_co] | BaseException | None = None  # of what ran in the runner
        self._ended: asyncio.Future[None] | None = None  # others who wait for the runner
        self._waiting = 0
        self._seen = False  # somebody got the outcome
        self._soon: asyncio.Handle | None = None
        try:
            self._soon = asyncio.get_running_loop().call_soon(self._start)
        except RuntimeError:
            return
        calls = _scope.get()
        if calls is not None:
            calls.add(self)

    def __await__(self) -> Generator[Any, None, T_co]:
        self._seen = True
        if self._task is not None:
            return self._of_task(self._task).__await__()
        if self._runner is not None:
            return self._of_runner().__await__()
        return self._here().__await__()

    def __getattr__(self, name: str) -> Any:
        """That output of the answer, on its way too."""
        if name.startswith("_"):
            raise AttributeError(name)
        return _Output(self, name, getattr)

    def __getitem__(self, name: Any) -> Any:
        return _Output(self, name, lambda answer, key: answer[key])

    def __repr__(self) -> str:
        if self._task is None:
            state = "not begun" if self._runner is None else "under way" if self._outcome is None else "done"
        else:
            state = "done" if self._task.done() else "under way"
        return f"<Pending {self._what}: {state}>"

    def __eq__(self, other: object) -> bool:
        """Whether it is the same call; what it answers can be compared once it is there."""
        return self is other if isinstance(other, Pending) or other is None else self._unresolved()

    __hash__ = object.__hash__

    def _unresolved(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"the answer of {self._what} is still on its way: await the call first, `{self._awaited()}`")

    def _awaited(self) -> str:
        """How to write it."""
        return f"await {self._what}(...)"

    def _start(self) -> None:
        self._task = task = asyncio.create_task(self._begin(), name=self._what)
        _kept.add(task)
        task.add_done_callback(_forget)

    def _leave(self) -> None:
        """The scope has ended: nothing is begun any more, and what is under way is cancelled."""
        if self._soon is not None:
            self._soon.cancel()
        task, runner = self._task, self._runner
        if runner is not None:
            if self._outcome is None and runner is not asyncio.current_task():
                runner.cancel()
        elif task is not None and not task.done():
            task.cancel()
        elif task is not None and not self._seen and not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a call that nobody awaited failed", call=self._what, error=str(error))

    async def _here(self) -> T_co:
        if self._soon is not None:
            self._soon.cancel()
        self._runner = asyncio.current_task()
        try:
            answer = await self._begin()
            self._outcome = (answer,)
            return answer
        except BaseException as error:
            self._outcome = error
            raise
        finally:
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)

    async def _of_runner(self) -> T_co:
        if self._outcome is None:
            if self._ended is None:
                self._ended = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._ended)
        if isinstance(self._outcome, asyncio.CancelledError):
            raise InferloomError(f"the call of {self._what} was cancelled by who had awaited it first")
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome[0]

    async def _of_task(self, task: asyncio.Task[T_co]) -> T_co:
        self._waiting += 1
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

    __slots__ = ("_name", "_parent", "_path", "_pick")

    def __init__(self, parent: Pending[Any], name: Any, pick: Callable[[Any, Any], Any]) -> None:
        self._parent = parent
        self._name = name
        self._pick = pick
        self._what = parent._what  # the call whose answer it is of
        self._path = f"{getattr(parent, '_path', '')}{f'.{name}' if pick is getattr else f'[{name!r}]'}"

    def __await__(self) -> Generator[Any, None, Any]:
        answer = yield from self._parent.__await__()
        return self._pick(answer, self._name)

    def __repr__(self) -> str:
        return f"<Pending {self._name!r} of {self._parent!r}>"

    def _awaited(self) -> str:
        return f"({super()._awaited()}){self._path}"


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
            call._leave()
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


# What only a value can do. Python looks these up on the class, so `__getattr__` does not see them.
_OF_VALUES = (
    "call bool iter len contains array float int index complex lt le gt ge add radd sub rsub mul rmul matmul rmatmul truediv "
    "rtruediv floordiv rfloordiv mod rmod divmod rdivmod pow rpow and rand or ror xor rxor lshift rlshift rshift rrshift neg "
    "pos abs invert round"
)
for _name in _OF_VALUES.split():
    setattr(Pending, f"__{_name}__", Pending._unresolved)


def _forget(task: asyncio.Task[Any]) -> None:
    """Marks a failure as seen: who awaits it gets it, and the scope logs what nobody awaited."""
    _kept.discard(task)
    if not task.cancelled():
        cast(Any, task).exception()
