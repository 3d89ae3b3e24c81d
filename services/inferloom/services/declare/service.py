"""`@service`: users' Python that answers like a model."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.declare.handle import PLAIN, Handle, HandleOptions
from inferloom.services.declare.local import run_here
from inferloom.services.declare.options import check_env, check_name, check_version, check_whole
from inferloom.services.declare.pending import Pending
from inferloom.services.declare.place import caller_place, place_of
from inferloom.services.declare.replacement import replaced, replaced_names
from inferloom.services.recording import recorder
from inferloom.services.tensor import Tensor

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["Service", "ServiceDeclaration", "TypedHandle", "service"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
LIFECYCLE = ("start", "close")


@dataclass(frozen=True)
class ServiceDeclaration:
    """A service as its file declares it."""

    name: str  # in the catalog; "": the variable it is assigned to (`collect` fills it in)
    target: Any  # the class or async function; None: an ASGI application alone
    version: str = "1"
    replicas: int = 1
    cpus: int = 0
    gpus: int = 0
    repeat: Repeat = Repeat.UNBEGUN
    stream: bool = False  # its default method gives any number of answers
    asgi: Any | None = None
    max_ongoing: int = 0  # calls at once in one replica; 0: no bound
    env: Mapping[str, str] = field(default_factory=dict)
    methods: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # by attribute name; unbound
    default: str = ""  # the method that answers under the service's own name
    rows: bool = False  # as StepDeclaration.rows, of a step that is hosted
    place: str = ""  # file:line

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.target)

    def catalog_name(self, method: str) -> str:
        """What a method answers as: `ReadDigit`, or `ReadDigit.embed` where it is not the default one."""
        return self.name if method == self.default else f"{self.name}.{method}"

    def bound(self, instance: Any, method: str) -> Callable[..., Any]:
        """The method of an instance; of a function the function."""
        return cast(Callable[..., Any], getattr(instance, method) if self.is_class else self.methods[method])

    def types(self, method: str) -> Types:
        """A method's inputs and outputs. Raises ConfigError where an annotation is missing or cannot be a tensor."""
        from inferloom.services.typed import types_of

        function = self.methods[method]
        return types_of(function, where=f"{self.catalog_name(method)} ({place_of(function)})")


class TypedHandle(Handle[R_co], Generic[R_co]):
    """A handle to something whose types are known here: arguments and answer are Python values."""

    def __init__(
        self,
        name: str,
        types: Callable[[], Types],
        parameters: inspect.Signature,
        settings: HandleOptions = PLAIN,
    ) -> None:
        super().__init__(name, settings)
        self._types = types
        self._parameters = parameters

    def _with(self, settings: HandleOptions) -> Self:
        return cast(Self, TypedHandle(self.name, self._types, self._parameters, settings))

    def __call__(self, *positional: Any, **inputs: Any) -> Pending[R_co]:
        """Begin the call. Arguments as of the function; they may be `Pending` themselves."""
        if positional and recorder.get() is not None:
            positional, inputs = (), self._bound(positional, inputs)
        return super().__call__(*positional, **inputs)

    def _named(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        tensors = self._types().tensors_of(self._bound(positional, inputs))
        return {name: tensor.array for name, tensor in tensors.items()}

    def _bound(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(self._parameters.bind(*positional, **inputs).arguments)
        except TypeError as error:
            parameters = str(self._parameters).replace("'", "")  # of annotations that were never evaluated
            raise InvalidInput(f"{self.name}{parameters}: {error}") from None

    async def _once(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        return self._value(await super()._once(positional, inputs))

    async def _stream(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> AsyncGenerator[Any]:
        async with aclosing(super()._stream(positional, inputs)) as answers:
            async for answer in answers:
                yield self._value(answer)

    def _value(self, answer: Any) -> Any:
        tensors = {name: Tensor.of(array, answer.datatypes[name], name) for name, array in answer.items()}
        return self._types().value_of(tensors)

    def _replaced_answer(self, answer: Any) -> Any:
        return answer  # a function that stands for it returns what it would


class Service(TypedHandle[R], Generic[P, R]):
    """A declared service: in services and pipelines a handle to it, in tests `run_local(...)`.

    Attributes:
        declaration: what was declared.
        target: the class or function itself; `ReadDigit.target()` makes an instance without any mesh.

    Its other public methods are handles too: `ReadDigit.embed(png=png)`.
    """

    def __init__(self, declaration: ServiceDeclaration, settings: HandleOptions = PLAIN) -> None:
        self.declaration = declaration
        default = declaration.default
        super().__init__(declaration.name, lambda: declaration.types(default), _parameters(declaration), settings)
        if declaration.target is not None:
            functools.update_wrapper(self, declaration.target, updated=())

    @property
    def target(self) -> Any:
        return self.declaration.target

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Pending[R]:
        if not self.declaration.methods:
            raise InvalidInput(f"service '{self.name}' is an ASGI application: call it by HTTP")
        return super().__call__(*args, **kwargs)

    def __getattr__(self, method: str) -> ServiceMethod:
        declaration = self.__dict__.get("declaration")
        if declaration is None or method.startswith("_") or method not in declaration.methods:
            has = ", ".join(declaration.methods) if declaration is not None else ""
            raise AttributeError(f"service '{self.__dict__.get('name')}' has no method '{method}'; it has {has}")
        return ServiceMethod(declaration, method)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """A class may inherit from a service: it inherits from its class."""
        return (self.target,)

    def handle(self) -> Service[P, R]:
        """Itself: a service is its own handle."""
        return self

    def run_local(self, *args: Any, handles: Mapping[str, Callable[..., Any]] | None = None, **kwargs: Any) -> R:
        """Call it here, without any mesh, and wait: makes an instance, runs `start`, the method and `close`.

            assert ReadDigit.run_local(png=png, handles={"digits": lambda pixels: {"label": [3]}}).label == 3

        Works where an event loop runs already, as in a notebook. Resources of its file are opened for the call.

        Args:
            handles: functions that answer in place of models and services, by name. They take the inputs by name, are async
                or not, and return a mapping of arrays (of a declared service: what it would return).

        Raises:
            InvalidInput: a function does not take the inputs it is called with, or the answer is not what is annotated.
            Unreachable: something is called that is not replaced, and no mesh answers; says the ways out.
        """
        return cast(R, ServiceMethod(self.declaration, self.declaration.default).run_local(
            *args, handles=handles, **kwargs
        ))  # fmt: skip

    def _with(self, settings: HandleOptions) -> Self:
        return cast(Self, Service(self.declaration, settings))


class ServiceMethod(TypedHandle[Any]):
    """A handle to one method of a service."""

    def __init__(self, declaration: ServiceDeclaration, method: str, settings: HandleOptions = PLAIN) -> None:
        parameters = _parameters(declaration, method)
        super().__init__(declaration.catalog_name(method), lambda: declaration.types(method), parameters, settings)
        self._declaration = declaration
        self._method = method

    def run_local(self, *args: Any, handles: Mapping[str, Callable[..., Any]] | None = None, **kwargs: Any) -> Any:
        """As `Service.run_local`, for this method. Of one that streams: the list of its answers."""
        declaration, method = self._declaration, self._method
        if method not in declaration.methods:
            raise InvalidInput(f"service '{declaration.name}' is an ASGI application: test it with its own test client")
        types = declaration.types(method)

        async def call() -> Any:
            instance = declaration.target() if declaration.is_class else None
            await _lifecycle(instance, "start")
            try:
                answer = declaration.bound(instance, method)(*args, **kwargs)
                if hasattr(answer, "__aiter__"):
                    values = [value async for value in answer]
                    for value in values:
                        types.result(value)
                    return values
                value = await answer
                types.result(value)  # raises where it is not what the annotation says
                return value
            finally:
                await _lifecycle(instance, "close")

        self._bound(args, kwargs)
        with replaced(handles or {}):
            return run_here(call, module=getattr(declaration.target, "__module__", ""), replaced=replaced_names())

    def _with(self, settings: HandleOptions) -> Self:
        return cast(Self, ServiceMethod(self._declaration, self._method, settings))


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
    methods, default = _methods(target, name, place) if target is not None else ({}, "")
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


def _methods(target: Any, name: str, place: str) -> tuple[dict[str, Callable[..., Any]], str]:
    """What it answers, by attribute name, and which of them is the default."""
    if not inspect.isclass(target):
        if not _is_async(target):
            raise ConfigError(f"{place}: service {name} must be an `async def`; a plain function may be a @step")
        return {target.__name__: target}, target.__name__
    methods: dict[str, Callable[..., Any]] = {}
    for key, function in inspect.getmembers(target, inspect.isfunction):
        if (key.startswith("_") and key != "__call__") or key in LIFECYCLE:
            continue
        if not _is_async(function):
            raise ConfigError(
                f"{place_of(function)}: {name}.{key} is public and so is served: write `async def`, or name it _{key} "
                "where it is not to be called from outside"
            )
        methods[key] = function
    for key in LIFECYCLE:
        own = getattr(target, key, None)
        if own is not None and not inspect.iscoroutinefunction(own):
            raise ConfigError(f"{place_of(own)}: {name}.{key} runs in the host's event loop: write `async def {key}`")
    default = next((key for key in ("predict", "__call__") if key in methods), "")
    if not default:
        if len(methods) != 1:
            has = ", ".join(methods) or "none"
            raise ConfigError(f"{place}: service {name} needs a method `async def predict(self, ...)`; it has {has}")
        default = next(iter(methods))
    return methods, default


def _is_async(function: Any) -> bool:
    inner = inspect.unwrap(function)
    return inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)


def _parameters(declaration: ServiceDeclaration, method: str = "") -> inspect.Signature:
    """What a method is called with, without self."""
    function = declaration.methods.get(method or declaration.default)
    if function is None:
        return inspect.Signature()
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    return signature.replace(parameters=parameters[1:] if declaration.is_class else parameters)


async def _lifecycle(instance: Any, step: str) -> None:
    function = getattr(instance, step, None)
    if function is not None:
        await function()
