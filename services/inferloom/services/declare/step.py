"""`@step`: a Python function that pipelines may run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.handle import NO_FALLBACK, PLAIN, HandleOptions
from inferloom.services.declare.local import run_here
from inferloom.services.declare.options import check_name, check_whole
from inferloom.services.declare.place import place_of
from inferloom.services.recording import recorder

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["Step", "StepDeclaration", "step"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class StepDeclaration:
    """A function and how it is run."""

    reference: str  # "module:name", as graphs name it
    function: Callable[..., Any]
    name: str
    rows: bool  # the first dimension is the batch: concurrent requests may be joined
    replicas: int  # 0: runs in the composer; else hosted as a service of this name
    cpus: int  # 0: a thread (an async one in the loop); from 1: in a process pool
    inline: bool  # a plain function so quick that it runs in the event loop
    place: str  # file:line

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.function)

    @functools.cached_property
    def types(self) -> Types:
        """Its inputs and outputs. Raises ConfigError where an annotation is missing or cannot be a tensor."""
        from inferloom.services.typed import types_of

        return types_of(self.function, where=f"step '{self.name}' ({self.place})")


class Step(Generic[P, R]):
    """The function, callable as it was; in a pipeline that is traced a call of it becomes a node.

    An async one is typed as what it answers with, so that a pipeline reads and type-checks the same; outside of pipelines
    it is awaited as any coroutine function.
    """

    def __init__(self, declaration: StepDeclaration, settings: HandleOptions | None = None) -> None:
        self.declaration = declaration
        self._settings = settings
        functools.update_wrapper(self, declaration.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        tracing = recorder.get()
        if tracing is not None:
            options = {} if self._settings is None else {"options": self._settings}
            record: Any = tracing.call_step
            node: R = record(self.declaration, args, kwargs, **options)
            return node
        answer: R = self.declaration.function(*args, **kwargs)
        return answer

    def options(
        self,
        *,
        timeout: float | str | None = None,
        attempts: int | None = None,
        fallback: Any = NO_FALLBACK,
        skip: bool | None = None,
    ) -> Step[P, R]:
        """The same step with other options, which hold in pipelines; see `HandleOptions`. ConfigError as for handles."""
        settings = (self._settings or PLAIN).changed(timeout=timeout, attempts=attempts, fallback=fallback, skip=skip)
        return Step(self.declaration, settings)

    def run_local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and wait for its answer, also where it is async."""
        function = self.declaration.function

        async def call() -> R:
            answer = function(*args, **kwargs)
            result: R = await answer if inspect.isawaitable(answer) else answer
            return result

        return run_here(call)

    def __repr__(self) -> str:
        return f"<Step {self.declaration.reference}>"


class _Decorator:
    def __init__(self, **options: Any) -> None:
        self._options = options

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...
    def __call__(self, function: Any, /) -> Any:
        return _declared(function, **self._options)


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, name: str = ..., rows: bool = ..., replicas: int = ..., cpus: int = ..., inline: bool = ...
) -> _Decorator: ...
def step(
    function: Any = None,
    /,
    *,
    name: str = "",
    rows: bool = False,
    replicas: int = 0,
    cpus: int = 0,
    inline: bool = False,
) -> Any:
    """Declare a function that pipelines may run: `@step` or `@step(rows=True)`.

    A plain function runs in a thread, an async one in the event loop.

    Args:
        name: of the service it is hosted as; default: the function's.
        rows: the first dimension of every input and output is the batch, and each row is answered for itself.
        replicas: host it as a service of its own, with so many replicas; 0: in the composer.
        cpus: from 1: it keeps a CPU busy, so it runs in a process pool.
        inline: it takes microseconds, so it runs in the event loop itself.

    Raises:
        ConfigError: options that make no sense, or no function that can be named; says where it stands.
    """
    options: dict[str, Any] = {"name": name, "rows": rows, "replicas": replicas, "cpus": cpus, "inline": inline}
    return _Decorator(**options) if function is None else _declared(function, **options)


def _declared(function: Any, *, name: str, rows: bool, replicas: int, cpus: int, inline: bool) -> Step[Any, Any]:
    if not inspect.isfunction(function):
        raise ConfigError(f"@step stands before a function, not before a {type(function).__name__}: {function!r}")
    place = place_of(function)
    if "<" in function.__qualname__ or "." in function.__qualname__:
        raise ConfigError(
            f"{place}: step {function.__qualname__} must stand at the top of its file, so that it can be named"
        )
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError(f"{place}: step {function.__name__} yields; a step answers once, a service may stream")
    if inline and (cpus or replicas or inspect.iscoroutinefunction(function)):
        raise ConfigError(f"{place}: inline= is for plain functions without cpus= and replicas=")
    if cpus and inspect.iscoroutinefunction(function):
        raise ConfigError(f"{place}: cpus= runs a step in another process: write it as a plain `def`")
    name = check_name(name or function.__name__, place, "step")
    check_whole("replicas", replicas, 0, place)
    check_whole("cpus", cpus, 0, place)
    reference = f"{function.__module__}:{function.__qualname__}"
    return Step(StepDeclaration(reference, function, name, rows, replicas, cpus, inline, place))
