"""A function that is to be traced, and what is known of it before."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["PipelineDeclaration"]


@dataclass(frozen=True)
class PipelineDeclaration:
    """A function to trace."""

    name: str
    function: Callable[..., Any]
    timeout: float | None  # seconds of the whole; None: the caller's deadline alone
    place: str  # file:line

    @property
    def reference(self) -> str:
        """ "module:name", for Graph.types."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    @property
    def text(self) -> str:
        return (inspect.getdoc(self.function) or "").split("\n\n")[0]

    @functools.cached_property
    def types(self) -> Types:
        """Its inputs and outputs. Raises ConfigError where an annotation is missing or cannot be a tensor."""
        from inferloom.services.typed import types_of

        return types_of(self.function, where=f"pipeline '{self.name}' ({self.place})")
