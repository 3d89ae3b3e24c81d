"""Where a pipeline's function is traced: calls inside it are recorded, not made.

Handles, steps and combiners ask `recorder` first; outside of tracing it is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Recorder", "recorder"]


class Recorder(Protocol):
    """Makes nodes of calls. What it returns stands for the call's outputs."""

    def call_model(
        self, name: str, version: str, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any
    ) -> Any:
        """A model, service or pipeline was called. `options`: the handle's `declare.handle.HandleOptions`."""

    def call_step(self, step: Any, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any = None) -> Any:
        """A function declared with @step (`declare.step.StepDeclaration`) was called."""


recorder: ContextVar[Recorder | None] = ContextVar("inferloom_recorder", default=None)
