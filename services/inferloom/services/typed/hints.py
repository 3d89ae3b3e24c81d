"""A function's annotations, resolved, and where the function stands."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from types import FrameType
from typing import Any

from inferloom.mesh.errors import ConfigError

__all__ = ["hints_of", "place_of", "resolve", "spelled"]

LOCALS = "<locals>"


def place_of(function: Callable[..., Any]) -> str:
    """ "app.py:12", or nothing where there is no source."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""


def spelled(annotation: Any) -> str:
    """A type as its user wrote it, more or less."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__qualname__
    return repr(annotation).replace("typing.", "")


def hints_of(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """Argument -> type, the result's under "return". ConfigError where a name in an annotation is not known."""
    plain = inspect.unwrap(function)
    plain = getattr(plain, "__func__", plain)
    local = dict(inspect.getclosurevars(plain).nonlocals) if hasattr(plain, "__code__") else {}
    try:
        return resolve(plain, _enclosing(plain) | local)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise ConfigError(
            f"{where}: its annotations cannot be read: {error} ({place_of(function)}); "
            "write types that the module knows at its top level"
        ) from None


def resolve(owner: Any, local: dict[str, Any] | None = None) -> dict[str, Any]:
    """Annotations of a function or class with their extras; strings are evaluated, also with names of `local`."""
    return typing.get_type_hints(owner, localns=local or None, include_extras=True)


def _enclosing(function: Any) -> dict[str, Any]:
    """Names of the functions around it, as far as these still run: types may be declared inside a test or a notebook cell."""
    names: dict[str, Any] = {}
    qualified = getattr(function, "__qualname__", "")
    if LOCALS not in qualified:
        return names
    around = set(qualified.split("."))
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in around and frame.f_globals is getattr(function, "__globals__", None):
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names
