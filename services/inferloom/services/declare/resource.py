"""Something that is opened once per process and shared by all calls: a database pool, an HTTP client, a feature store."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, Generic, TypeVar, overload

from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.services.declare.place import place_of

__all__ = ["Resource", "resource"]

T = TypeVar("T")
Opens = (
    Callable[[], AsyncIterator[T]]
    | Callable[[], Iterator[T]]
    | Callable[[], AbstractAsyncContextManager[T]]
    | Callable[[], AbstractContextManager[T]]
)


class Resource(Generic[T]):
    """A value that a host opens before it serves and closes when it has drained; `db.value` is what was opened.

    Args:
        opens: see `resource`.
        check: says whether it still works: returns, or raises; False counts as a failure.

    Attributes:
        name: the variable it is assigned to, as far as `collect` has seen it.
        place: file:line, for messages.
    """

    def __init__(self, opens: Callable[[], Any], check: Callable[[T], Any] | None) -> None:
        self.name = getattr(opens, "__name__", "resource")
        self.place = place_of(opens)
        self._opens = opens
        self._check = check
        self._stack: AsyncExitStack | None = None
        self._values: list[T] = []  # the last one counts; replacements lie on top

    @property
    def value(self) -> T:
        """Raises InferloomError where it is not open."""
        if not self._values:
            raise InferloomError(
                f"resource '{self.name}' ({self.place}) is not open: a host opens it, and so does run_local(...); "
                f"in a test of your own use `with {self.name}.replaced(value):`"
            )
        return self._values[-1]

    def dependency(self) -> T:
        """The value, for FastAPI: `Annotated[Pool, Depends(db.dependency)]`."""
        return self.value

    @property
    def is_open(self) -> bool:
        return bool(self._values)

    async def open(self) -> None:
        """Open it; does nothing where it is open. Raises what the user's code raises."""
        if self._values:
            return
        stack = AsyncExitStack()
        try:
            self._values.append(await _entered(self._opens, stack, self.place))
        except BaseException:
            await stack.aclose()
            raise
        self._stack = stack

    async def check(self) -> None:
        """Raises what the user's check raises, or InferloomError where it returns False. Without one: nothing."""
        if self._check is None or not self._values:
            return
        outcome = self._check(self.value)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome is False:
            raise InferloomError(f"resource '{self.name}' ({self.place}) failed its check")

    async def close(self) -> None:
        """Close what `open` opened. Safe to call more than once."""
        stack, self._stack = self._stack, None
        if stack is not None:
            self._values.clear()
            await stack.aclose()

    @contextmanager
    def replaced(self, value: T) -> Iterator[T]:
        """Use this value instead, in tests; nothing is opened."""
        self._values.append(value)
        try:
            yield value
        finally:
            self._values.remove(value)

    def __repr__(self) -> str:
        return f"<Resource {self.name} {'open' if self._values else 'closed'}>"


@overload
def resource(opens: Callable[[], AsyncIterator[T]], *, check: Callable[[T], Any] | None = ...) -> Resource[T]: ...
@overload
def resource(opens: Callable[[], Iterator[T]], *, check: Callable[[T], Any] | None = ...) -> Resource[T]: ...
@overload
def resource(
    opens: Callable[[], AbstractAsyncContextManager[T]], *, check: Callable[[T], Any] | None = ...
) -> Resource[T]: ...
@overload
def resource(
    opens: Callable[[], AbstractContextManager[T]], *, check: Callable[[T], Any] | None = ...
) -> Resource[T]: ...
@overload
def resource(*, check: Callable[[Any], Any]) -> Callable[[Opens[T]], Resource[T]]: ...
def resource(opens: Any = None, *, check: Any = None) -> Any:
    """Declare a resource; as a decorator, or called with what opens it.

        @resource
        async def db() -> AsyncIterator[Pool]:
            async with create_pool(URL) as pool:
                yield pool

    Args:
        opens: a generator function (async or not) that yields the value once, or a function (or class) without arguments
            that returns a context manager (async or not).
        check: takes the value; raises, or returns False, where it no longer works. May be async.

    Raises:
        ConfigError: `opens` is nothing that can be called.
    """
    if opens is None:
        return lambda function: resource(function, check=check)
    if not callable(opens):
        raise ConfigError(f"resource(...) takes a function that opens it, not a {type(opens).__name__}")
    return Resource(opens, check)


async def _entered(opens: Callable[[], Any], stack: AsyncExitStack, place: str) -> Any:
    if inspect.isasyncgenfunction(opens):
        return await stack.enter_async_context(asynccontextmanager(opens)())
    if inspect.isgeneratorfunction(opens):
        return stack.enter_context(contextmanager(opens)())
    made = opens()
    if inspect.isawaitable(made) and not hasattr(made, "__aenter__"):
        made = await made
    if hasattr(made, "__aenter__"):
        return await stack.enter_async_context(made)
    if hasattr(made, "__enter__"):
        return stack.enter_context(made)
    raise ConfigError(
        f"{place}: a resource is a generator function that yields the value, or returns a context manager; "
        f"this returned a {type(made).__name__}"
    )
