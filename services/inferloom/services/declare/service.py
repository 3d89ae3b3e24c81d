"""`@service`: users' Python that answers like a model."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.options import check_env, check_name, check_version, check_whole
from inferloom.services.declare.place import caller_place, place_of
from inferloom.services.declare.service_declaration import ServiceDeclaration, methods_of
from inferloom.services.declare.service_handle import Service

__all__ = ["Service", "ServiceDeclaration", "service"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class _Predicts(Protocol[P, R_co]):
    async def predict(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Calls(Protocol[P, R_co]):
    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class _Decorator:
    def __init__(self, **options: Any) -> None:
        self._options = options

    @overload
    def __call__(self, target: type[_Predicts[P, R]], /) -> Service[P, R]: ...
    @overload
    def __call__(self, target: type[_Calls[P, R]], /) -> Service[P, R]: ...
    @overload
    def __call__(self, target: type[Any], /) -> Service[..., Any]: ...
    @overload
    def __call__(self, target: Callable[P, Coroutine[Any, Any, R]], /) -> Service[P, R]: ...
    @overload
    def __call__(self, target: Callable[P, AsyncIterator[R]], /) -> Service[P, list[R]]: ...
    def __call__(self, target: Any, /) -> Any:
        return _declared(target, **self._options)


@overload
def service(target: type[_Predicts[P, R]], /) -> Service[P, R]: ...
@overload
def service(target: type[_Calls[P, R]], /) -> Service[P, R]: ...
@overload
def service(target: type[Any], /) -> Service[..., Any]: ...
@overload
def service(target: Callable[P, Coroutine[Any, Any, R]], /) -> Service[P, R]: ...
@overload
def service(target: Callable[P, AsyncIterator[R]], /) -> Service[P, list[R]]: ...
@overload
def service(*, asgi: Any, name: str = ..., replicas: int = ..., cpus: int = ..., gpus: int = ...,
    version: str | int = ..., max_ongoing: int = ..., env: Mapping[str, str] | None = ...,
) -> Service[..., Any]: ...  # fmt: skip
@overload
def service(*, name: str = ..., version: str | int = ..., replicas: int = ..., cpus: int = ..., gpus: int = ...,
    effects: bool = ..., idempotent: bool = ..., stream: bool = ..., max_ongoing: int = ...,
    env: Mapping[str, str] | None = ...,
) -> _Decorator: ...  # fmt: skip
def service(
    target: Any = None,
    /,
    *,
    name: str = "",
    version: str | int = 1,
    replicas: int = 1,
    cpus: int = 0,
    gpus: int = 0,
    effects: bool = False,
    idempotent: bool = False,
    stream: bool = False,
    asgi: Any = None,
    max_ongoing: int = 0,
    env: Mapping[str, str] | None = None,
) -> Any:
    """Declare a service: `@service` or `@service(replicas=2)` before a class with async methods, or an async function.

        @service
        class ReadDigit:
            async def predict(self, png: bytes) -> Answer: ...

        api = service(asgi=FastAPI())       # a web application, under /api/ of the HTTP port

    The default method (`predict`, else `__call__`, else the only public one) answers under the service's name, each other
    public one as NAME.METHOD. `async def start(self)` runs before the first call, `close` after the last.

    Args:
        name: in the catalog; default: the class's or function's, of an ASGI application the variable's.
        version: a whole number from 1.
        replicas: processes.
        cpus, gpus: of each replica.
        effects: it changes something outside: never retried, hedged or mirrored.
        idempotent: it may be retried even when it may have begun. Without either: only when it surely has not.
        stream: its default method is an async generator: any number of answers.
        asgi: an ASGI application, instead of a class.
        max_ongoing: calls at once in one replica, 0: no bound; more are refused (RESOURCE_EXHAUSTED, reason "shed").
        env: environment variables of its processes.

    Raises:
        ConfigError: options that make no sense, or methods that are not async; says where it stands.
    """
    options: dict[str, Any] = {
        "name": name,
        "version": version,
        "replicas": replicas,
        "cpus": cpus,
        "gpus": gpus,
        "effects": effects,
        "idempotent": idempotent,
        "stream": stream,
        "asgi": asgi,
        "max_ongoing": max_ongoing,
        "env": env,
    }
    if isinstance(target, Service):
        return target
    if target is None and asgi is None:
        return _Decorator(**options)
    return _declared(target, **options)


def _declared(
    target: Any,
    *,
    name: str,
    version: str | int,
    replicas: int,
    cpus: int,
    gpus: int,
    effects: bool,
    idempotent: bool,
    stream: bool,
    asgi: Any,
    max_ongoing: int,
    env: Mapping[str, str] | None,
) -> Service[Any, Any]:
    if target is not None and not (inspect.isclass(target) or inspect.isfunction(target)):
        raise ConfigError(
            f"{caller_place()}: @service stands before a class or an async function, not before {target!r}"
        )
    place = place_of(target) if inspect.isfunction(target) else caller_place()
    if target is None and not callable(asgi):
        raise ConfigError(f"{place}: asgi= is an ASGI application, not a {type(asgi).__name__}")
    if target is not None and asgi is not None:
        raise ConfigError(f"{place}: asgi= stands alone: write NAME = service(asgi=app), beside the class")
    if effects and idempotent:
        raise ConfigError(f"{place}: effects= and idempotent= contradict each other: leave one out")
    if asgi is not None and (stream or effects or idempotent):
        raise ConfigError(f"{place}: stream=, effects= and idempotent= are for methods; an ASGI application has none")
    name = name or (target.__name__ if target is not None else "")
    if name:
        check_name(name, place, "service")
    methods, default = methods_of(target, name, place) if target is not None else ({}, "")
    streams = bool(default) and inspect.isasyncgenfunction(inspect.unwrap(methods[default]))
    if stream and not streams:
        raise ConfigError(f"{place}: stream=True, but {name}.{default} does not `yield` its answers")
    return Service(ServiceDeclaration(
        name=name,
        target=target,
        version=check_version(version, place),
        replicas=check_whole("replicas", replicas, 1, place),
        cpus=check_whole("cpus", cpus, 0, place),
        gpus=check_whole("gpus", gpus, 0, place),
        repeat=Repeat.NEVER if effects else Repeat.ANY if idempotent else Repeat.UNBEGUN,
        stream=streams,
        asgi=asgi,
        max_ongoing=check_whole("max_ongoing", max_ongoing, 0, place),
        env=check_env(env, place),
        methods=methods,
        default=default,
        place=place,
    ))  # fmt: skip
