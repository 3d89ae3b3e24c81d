"""A declared service, as those who call it see it: a handle, and a way to run it right here."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

from inferloom.mesh.errors import InvalidInput
from inferloom.services.declare.handle import PLAIN, HandleOptions
from inferloom.services.declare.local import run_here
from inferloom.services.declare.pending import Pending
from inferloom.services.declare.replacement import replaced, replaced_names
from inferloom.services.declare.service_declaration import ServiceDeclaration
from inferloom.services.declare.typed_handle import TypedHandle

__all__ = ["Service", "ServiceMethod"]

P = ParamSpec("P")
R = TypeVar("R")


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
        super().__init__(declaration.name, lambda: declaration.types(default), declaration.parameters(), settings)
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
        parameters = declaration.parameters(method)
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

        self.bound(args, kwargs)
        with replaced(handles or {}):
            return run_here(call, module=getattr(declaration.target, "__module__", ""), replaced=replaced_names())

    def _with(self, settings: HandleOptions) -> Self:
        return cast(Self, ServiceMethod(self._declaration, self._method, settings))


async def _lifecycle(instance: Any, step: str) -> None:
    function = getattr(instance, step, None)
    if function is not None:
        await function()
