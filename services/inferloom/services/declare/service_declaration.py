"""A service as its file declares it, and which of its methods answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.place import place_of

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["ServiceDeclaration", "methods_of"]

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

    def parameters(self, method: str = "") -> inspect.Signature:
        """What a method is called with, without self."""
        function = self.methods.get(method or self.default)
        if function is None:
            return inspect.Signature()
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        return signature.replace(parameters=parameters[1:] if self.is_class else parameters)

    def types(self, method: str) -> Types:
        """A method's inputs and outputs. Raises ConfigError where an annotation is missing or cannot be a tensor."""
        from inferloom.services.typed import types_of

        function = self.methods[method]
        return types_of(function, where=f"{self.catalog_name(method)} ({place_of(function)})")


def methods_of(target: Any, name: str, place: str) -> tuple[dict[str, Callable[..., Any]], str]:
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
