"""`@pipeline`: a typed Python function that is traced into a graph."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.local import run_here
from inferloom.services.declare.options import check_name, seconds
from inferloom.services.declare.pipeline_declaration import PipelineDeclaration
from inferloom.services.declare.place import place_of
from inferloom.services.declare.replacement import replaced, replaced_names
from inferloom.services.declare.typed_handle import TypedHandle

__all__ = ["Pipeline", "pipeline"]

P = ParamSpec("P")
R = TypeVar("R")


class Pipeline(Generic[P, R]):
    """Callable as the function it was made of: in another pipeline a node, elsewhere (`await`) a call through the mesh."""

    def __init__(self, declaration: PipelineDeclaration) -> None:
        self.declaration = declaration
        self._handle: TypedHandle[R] = TypedHandle(
            declaration.name, lambda: declaration.types, inspect.signature(declaration.function)
        )
        functools.update_wrapper(self, declaration.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._handle(*args, **kwargs))

    @property
    def name(self) -> str:
        return self.declaration.name

    def handle(self) -> TypedHandle[R]:
        """For services: `await digits.handle()(png=png)` is typed as awaitable; has options(...) and replaced(...)."""
        return self._handle

    def run_local(self, *args: Any, handles: Mapping[str, Callable[..., Any]] | None = None, **kwargs: Any) -> R:
        """Run it here, without any mesh, and wait: its steps run in this process, functions stand for what it calls.

            answer = digits.run_local(png=png, handles={"svm": lambda pixels: {"label": [3]}, "mlp": ...})

        It is checked as a composer does it, as far as the types of what it calls are known. Nothing is batched, and each
        step is tried once. Works where an event loop runs already, as in a notebook.

        Args:
            handles: functions that answer in place of models and services, by name. They take the inputs by name, are async
                or not, and return a mapping of arrays (of a declared service: what it would return). One that raises is a
                model that fails: with a quorum or a fallback the pipeline answers all the same.

        Returns:
            What the function's annotation says; of `-> Outputs` an InferResult.

        Raises:
            ConfigError: it cannot run so; says why, and where it stands.
            InvalidInput: an argument is not what is annotated.
            Unreachable: something is called that is not replaced, and no mesh answers; says the ways out.
        """
        from inferloom.services.composer.local import run_pipeline

        declaration, arguments = self.declaration, self._handle.bound(args, kwargs)
        with replaced(handles or {}):
            module = declaration.function.__module__
            return cast(
                R, run_here(lambda: run_pipeline(declaration, arguments), module=module, replaced=replaced_names())
            )

    def __repr__(self) -> str:
        return f"<Pipeline {self.name}>"


class _Decorator:
    def __init__(self, name: str, timeout: float | str | None) -> None:
        self._name = name
        self._timeout = timeout

    def __call__(self, function: Callable[P, R], /) -> Pipeline[P, R]:
        return _declared(function, self._name, self._timeout)


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...
@overload
def pipeline(name: str = ..., /, *, timeout: float | str | None = ...) -> _Decorator: ...
def pipeline(function: Any = "", /, *, timeout: float | str | None = None) -> Any:
    """Declare a pipeline: `@pipeline("digits")`, or `@pipeline`, which names it like the function.

        @pipeline("digits", timeout="2s")
        def digits(png: bytes) -> Answer:
            votes = vote(forest(decode(png)), svm(decode(png)), quorum=2)
            return Answer(label=votes.label)

    Its body is run once, to see what it calls; values in it cannot be looked at.

    Args:
        timeout: of the whole: seconds, or a text like "500ms"; the caller's deadline where it is shorter.

    Raises:
        ConfigError: it is no plain function, or an option makes no sense; says where it stands.
    """
    if isinstance(function, str):
        return _Decorator(function, timeout)
    return _declared(function, "", timeout)


def _declared(function: Any, name: str, timeout: float | str | None) -> Pipeline[Any, Any]:
    if not inspect.isfunction(function):
        raise ConfigError(f"@pipeline stands before a function, not before a {type(function).__name__}: {function!r}")
    place = place_of(function)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"{place}: a pipeline is a plain `def`, without await: it is run once, to see what it calls. "
            "What awaits and decides is a service"
        )
    name = check_name(name or function.__name__, place, "pipeline")
    return Pipeline(PipelineDeclaration(name, function, seconds(timeout, "timeout", place), place))
