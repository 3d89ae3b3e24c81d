"""`route`: one of several ways through a pipeline, for the body of a `@pipeline` function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inferloom.mesh.errors import ConfigError
from inferloom.services.composer.combiners import arm_value, tracer_of, unique
from inferloom.services.composer.fold import Part
from inferloom.services.composer.graph import hint
from inferloom.services.composer.source import Place
from inferloom.services.composer.symbols import Symbol, reference_of
from inferloom.v1 import graph_pb2

__all__ = ["route"]


def route(
    *,
    on: Any = None,
    by: str | None = None,
    rules: Sequence[tuple[str, Any]] | None = None,
    arms: Mapping[str, Any] | None = None,
    default: Any = None,
    mirror: Mapping[str, tuple[float, Any]] | None = None,
    inputs: Mapping[str, Any] | None = None,
    overrides: Mapping[str, str] | None = None,
    salt: str = "",
) -> Any:
    """The outputs of the one arm that is taken. All arms give the same outputs; an arm is a call, or `Outputs(...)`.

    By shares, sticky for each value of the metadata key `by` ("": each request for itself), with arms that are only compared:

        route(by="user", arms={"a": (90, svm(x)), "b": (10, mlp(x))}, mirror={"c": (0.1, forest(x))})

    By rules, CEL over `metadata` (a map of texts) and `inputs`, the first that holds:

        route(rules=[("metadata['tier'] == 'gold'", big(x))], default=small(x))

    By a value, which is the name of an arm (true and false are "true" and "false", whole numbers as they are written):

        route(on=found.kind, arms={"face": caption(x)}, default=Outputs(text=""))

    Args:
        mirror: arms whose answers are thrown away, each with the part of the requests it gets, from 0 to 1.
        inputs: names in the rules' expressions, for small values.
        overrides: value of the unit -> arm, for testers.
        salt: of the shares; without a word the names of pipeline and node.

    Raises:
        ConfigError: outside of a pipeline's function, or forms are mixed; names the line.
    """
    tracer = tracer_of("route")
    place = tracer.place()
    forms = {"on": on is not None, "by": by is not None, "rules": rules is not None}
    chosen = [name for name, given in forms.items() if given]
    if len(chosen) != 1:
        has = f"both {' and '.join(chosen)}" if chosen else "none of on=, by= and rules="
        raise ConfigError(f"{place}: route has {has}; give one of them")
    _only(chosen[0], place, by, {"arms": arms, "default": default, "mirror": mirror, "inputs": inputs})
    node = graph_pb2.Node()
    made = _Arms(node.route, place)
    if by is not None:
        node.route.split.salt, node.route.split.unit = salt, by
        node.route.split.overrides.update(overrides or {})
        for name, (share, value) in _shares(arms, place).items():
            made.add(name, value, share=share)
        for name, (share, value) in _shares(mirror, place).items():
            made.add(name, value, share=share, mirror=True)
    elif rules is not None:
        node.route.rules.SetInParent()
        for name, symbol in (inputs or {}).items():
            node.route.rules.inputs[name] = tracer.used(_symbol(symbol, place, f"inputs[{name!r}]"))
        for index, (when, value) in enumerate(rules):
            name = reference_of(value).node if isinstance(value, Symbol) else f"rule-{index + 1}"
            made.add(name, value, when=when)
    else:
        node.route.output = tracer.used(_symbol(on, place, "on"))
        for name, value in (arms or {}).items():
            made.add(name, value)
    made.default(default)
    if not made.parts:
        raise ConfigError(f"{place}: route has no arms")
    return tracer.add("route", node, made.parts, place=place)


class _Arms:
    def __init__(self, route: graph_pb2.Route, place: Place) -> None:
        self.parts: list[Part] = []
        self._route = route
        self._place = place
        self._taken: set[str] = set()

    def add(self, name: Any, value: Any, **fields: Any) -> str:
        if not isinstance(name, str):
            written = str(name).lower() if isinstance(name, bool) else str(name)
            raise ConfigError(f'{self._place}: route: the name of an arm is text: write "{written}", not {name!r}')
        free = unique(name, self._taken)
        target = self._route.arms.add(name=free, **fields)
        self.parts.append(Part(target, arm_value(value, self._place, free)))
        return free

    def default(self, value: Any) -> None:
        """The name of an arm, or an arm of its own."""
        if isinstance(value, str):
            if value not in self._taken:
                raise ConfigError(f"{self._place}: route: default={value!r} is no arm{hint(value, self._taken)}")
            self._route.default = value
        elif value is not None:
            self._route.default = self.add("default", value)


_FORMS = {"by": {"arms", "mirror"}, "on": {"arms", "default"}, "rules": {"default", "inputs"}}


def _only(form: str, place: Place, by: Any, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None and name not in _FORMS[form]:
            raise ConfigError(f"{place}: route({form}=...) has no {name}=; it takes {', '.join(sorted(_FORMS[form]))}")


def _shares(arms: Mapping[str, Any] | None, place: Place) -> dict[str, tuple[float, Any]]:
    found = {}
    for name, arm in (arms or {}).items():
        if not (isinstance(arm, tuple) and len(arm) == 2 and isinstance(arm[0], int | float)):
            raise ConfigError(f"{place}: route, arm {name}: {arm!r}; by shares an arm is (share, call): (90, svm(x))")
        found[name] = (float(arm[0]), arm[1])
    return found


def _symbol(value: Any, place: Place, what: str) -> Symbol:
    if not isinstance(value, Symbol):
        raise ConfigError(f"{place}: route: {what}={value!r} is no value of the pipeline")
    return value
