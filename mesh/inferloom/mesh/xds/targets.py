"""What each kind of edge shall have: compiled once for all that have the same settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NamedTuple

import structlog

from inferloom.mesh.catalog import Model
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.split import Split
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.feed import Inputs
from inferloom.mesh.xds.resources import Compiler
from inferloom.mesh.xds.target import Compiled, Target

__all__ = ["Targets"]

log = structlog.get_logger(__name__)


class _Kind:
    """One compiler, and what it cannot compile."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.users = 0
        self.inputs: Inputs | None = None
        self.target: Target | None = None
        self.odd: dict[str, _Odd] = {}
        self._compiler = Compiler(settings)

    def compile(self, inputs: Inputs) -> Target:
        """Without the models that cannot be compiled: the router answers for these, and the others go on."""
        models = inputs.catalog.models
        self.odd = {name: odd for name, odd in self.odd.items() if odd.holds(inputs, name)}
        try:
            return self._compile(inputs, self.odd.keys())
        except Exception:
            for name in models.keys() - self.odd.keys():
                try:
                    self._compile(inputs, models.keys() - {name}, Compiler(self._compiler.settings))
                except Exception as error:
                    log.error("model not compiled: the router answers for it", model=name, error=str(error))
                    self.odd[name] = _Odd(
                        models[name], inputs.policy(models[name]), inputs.splits.get(name), str(error)
                    )
            return self._compile(inputs, self.odd.keys())

    def _compile(self, inputs: Inputs, without: Collection[str], compiler: Compiler | None = None) -> Target:
        catalog = inputs.catalog
        if without:
            kept = {name: model for name, model in catalog.models.items() if name not in without}
            catalog = replace(catalog, models=kept)
        compiled: Compiled = (compiler or self._compiler).compile(catalog, inputs.policy, inputs.splits)
        return Target.of(compiled)


class _Odd(NamedTuple):
    """A model that cannot be compiled, as it was."""

    model: Model
    policy: TrafficPolicy
    split: Split | None
    why: str

    def holds(self, inputs: Inputs, name: str) -> bool:
        model = inputs.catalog.models.get(name)
        return model is self.model and inputs.policy(model) is self.policy and inputs.splits.get(name) is self.split


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

    def odd(self, settings: EdgeSettings) -> dict[str, str]:
        """Models that cannot be compiled for an edge that has entered, and why."""
        return {name: odd.why for name, odd in sorted(self._kinds[settings].odd.items())}

    def of(self, settings: EdgeSettings, inputs: Inputs) -> Target:
        """The snapshot for an edge that has entered."""
        kind = self._kinds[settings]
        if kind.target is None or kind.inputs is not inputs:
            began = self._now()
            kind.target, kind.inputs = kind.compile(inputs), inputs
            self.seconds += self._now() - began
            self.compilations += 1
        return kind.target
