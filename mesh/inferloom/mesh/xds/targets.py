"""What each kind of edge shall have: compiled once for all that have the same settings."""

from __future__ import annotations

import time
from collections.abc import Callable

from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.feed import Inputs
from inferloom.mesh.xds.resources import Compiler
from inferloom.mesh.xds.target import Compiled, Target

__all__ = ["Targets"]


class _Kind:
    def __init__(self, settings: EdgeSettings) -> None:
        self.compiler = Compiler(settings)
        self.users = 0
        self.inputs: Inputs | None = None
        self.target: Target | None = None


class Targets:
    """Compilers by settings, kept while an edge with these settings is connected.

    Args:
        now: seconds, to measure with.

    Attributes:
        seconds: spent with compiling so far.
        compilations: so many.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = 0.0
        self.compilations = 0
        self._now = now
        self._kinds: dict[EdgeSettings, _Kind] = {}

    def enter(self, settings: EdgeSettings) -> None:
        """An edge with these settings is there; to be followed by `leave`."""
        if settings not in self._kinds:
            self._kinds[settings] = _Kind(settings)
        self._kinds[settings].users += 1

    def leave(self, settings: EdgeSettings) -> None:
        kind = self._kinds[settings]
        kind.users -= 1
        if not kind.users:
            del self._kinds[settings]

    def of(self, settings: EdgeSettings, inputs: Inputs) -> Target:
        """The snapshot for an edge that has entered."""
        kind = self._kinds[settings]
        if kind.target is None or kind.inputs is not inputs:
            began = self._now()
            compiled: Compiled = kind.compiler.compile(inputs.catalog, inputs.policy, inputs.splits)
            kind.target, kind.inputs = Target.of(compiled), inputs
            self.seconds += self._now() - began
            self.compilations += 1
        return kind.target
