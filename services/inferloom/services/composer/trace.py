"""A pipeline's Python function to its graph: it is called once, with symbols, and what it calls becomes nodes.

A node is named after what it calls (`decode`, a second time `decode-2`), an ensemble or a route after the variable it is
assigned to. A call that is used only as a member of an ensemble or as an arm is folded into it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.composer.constants import value_of
from inferloom.services.composer.durations import duration
from inferloom.services.composer.fold import Part, folded
from inferloom.services.composer.graph import hint
from inferloom.services.composer.outputs import fields_of
from inferloom.services.composer.references import INPUT, Reference
from inferloom.services.composer.source import Place, here
from inferloom.services.composer.symbols import Symbol, reference_of
from inferloom.services.composer.traced_types import Annotated, annotated
from inferloom.services.declare.handle import Handle, HandleOptions, NoFallback
from inferloom.services.recording import recorder
from inferloom.v1 import graph_pb2

__all__ = ["Traced", "Tracer", "trace", "traced"]


@dataclass(frozen=True, slots=True)
class Traced:
    graph: graph_pb2.Graph
    places: Mapping[str, str]  # "file:line" of each node, and of "NODE.members.NAME" and "NODE.arms.NAME"


def trace(declaration: Any) -> graph_pb2.Graph:
    """The graph of a `PipelineDeclaration`. Raises ConfigError naming the line in the user's file."""
    return traced(declaration).graph


def traced(declaration: Any) -> Traced:
    """As `trace`, with the lines."""
    function = declaration.function
    file = function.__code__.co_filename
    where = f"{Place(file, function.__code__.co_firstlineno)}: pipeline {declaration.name}"
    types = annotated(function, where)
    tracer = Tracer(file)
    token = recorder.set(tracer)
    try:
        result = function(**{spec.name: Symbol(Reference(INPUT, spec.name), file) for spec in types.inputs})
    except ValidationError as error:
        raise ConfigError(f"{where}: {_MODEL}") from error
    finally:
        recorder.reset(token)
    graph = graph_pb2.Graph(name=declaration.name, types=types.reference)
    graph.description = " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())
    if declaration.timeout:
        graph.timeout = duration(declaration.timeout)
    graph.inputs.extend(types.inputs)
    graph.outputs.extend(tracer.outputs(result, types, where))
    nodes, places = folded(tracer.calls)
    graph.nodes.extend(nodes)
    return Traced(graph, places)


_MODEL = (
    "a pydantic model checks its fields when it is made, and traced values have none yet; "
    "return its model_construct(...), or Outputs(...)"
)


@dataclass
class Call:
    """One node as it was recorded; `parts` are the members or arms, which may take other calls in."""

    node: graph_pb2.Node
    place: Place
    parts: list[Part] = field(default_factory=list)
    used: int = 0  # as an input or output
    taken: int = 0  # as a member or arm


class Tracer:
    """The recorder of one pipeline."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.calls: dict[str, Call] = {}

    def call_model(
        self, name: str, version: str, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any
    ) -> Any:
        place = here(self._file)
        if positional and (len(positional) > 1 or inputs):
            raise ConfigError(f"{place}: {name}(...) has several inputs; name each of them: {name}(x=..., y=...)")
        step = graph_pb2.Step(model=name, version=version)
        return self._call(name, step, {"": positional[0]} if positional else inputs, options, place)

    def call_step(self, step: Any, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any = None) -> Any:
        place = here(self._file)
        known = [spec.name for spec in step.types.signature.inputs]
        if len(positional) > len(known):
            raise ConfigError(
                f"{place}: {step.name} takes {len(known)} arguments ({', '.join(known)}), not {len(positional)}"
            )
        bound = dict(zip(known, positional, strict=False))
        for name, value in inputs.items():
            if name not in known:
                raise ConfigError(f"{place}: {step.name} has no argument {name!r}{hint(name, known)}")
            if name in bound:
                raise ConfigError(f"{place}: {step.name} gets {name!r} twice")
            bound[name] = value
        missing = [spec.name for spec in step.types.signature.inputs if not spec.optional and spec.name not in bound]
        if missing:
            raise ConfigError(f"{place}: {step.name} needs {', '.join(missing)}")
        runs = graph_pb2.Step(model=step.name) if step.replicas else graph_pb2.Step(function=step.reference)
        return self._call(step.name, runs, bound, options, place)

    def add(self, what: str, node: graph_pb2.Node, parts: Iterable[Part] = (), *, place: Place | None = None) -> Symbol:
        """A node called after the variable it is assigned to, else `what`."""
        place = place or here(self._file)
        node.name = self._free(place.assigned or what)
        call = self.calls[node.name] = Call(node, place, list(parts))
        for part in call.parts:
            if isinstance(part.value, Symbol):
                self._count(part.value, "taken")
            else:
                part.step = graph_pb2.Step()
                setattr(part.step, "pass", True)
                self._bind(part.step, part.value, f"{what}, {part.name}", place)
        return Symbol(Reference(node.name), self._file)

    def used(self, symbol: Symbol) -> str:
        """The text of its reference, counted as a use of that node."""
        self._count(symbol, "used")
        return str(reference_of(symbol))

    def place(self) -> Place:
        return here(self._file)

    def outputs(self, result: Any, types: Annotated, where: str) -> list[graph_pb2.Output]:
        """Those of the pipeline. A single value is named after its output; what gives several gives them all."""
        if isinstance(result, Symbol):
            output = "result" if types.single else reference_of(result).output
            return [types.output(output, self.used(result))]
        fields = fields_of(result)
        if not fields:
            raise ConfigError(f"{where} returns {result!r}; return Outputs(name=value, ...) or a value of the pipeline")
        constants = {name: value for name, value in fields.items() if not isinstance(value, Symbol)}
        given: dict[str, Any] = dict(fields)
        if constants:
            step = graph_pb2.Step()
            setattr(step, "pass", True)
            made = self._call("constants", step, constants, None, Place(self._file, 0))
            given.update({name: made[name] for name in constants})
        if missing := types.missing(set(given)):
            raise ConfigError(f"{where} is annotated with {', '.join(missing)} as well, but does not return it")
        return [types.output(name, self.used(value)) for name, value in given.items()]

    def _call(self, name: str, step: graph_pb2.Step, inputs: Mapping[str, Any], options: Any, place: Place) -> Symbol:
        self._bind(step, inputs, name, place)
        self._options(step, options)
        node = graph_pb2.Node(name=self._free(name), step=step)
        self.calls[node.name] = Call(node, place)
        return Symbol(Reference(node.name), self._file)

    def _bind(self, step: graph_pb2.Step, inputs: Mapping[str, Any], callee: str, place: Place) -> None:
        for name, value in inputs.items():
            if isinstance(value, Symbol):
                step.inputs[name] = self.used(value)
            elif value is not None:  # None: the input is left out
                try:
                    step.constants[name].CopyFrom(value_of(value))
                except InvalidInput as error:
                    raise ConfigError(f"{place}: {callee}, {name or 'its input'}: {error}") from None

    def _options(self, step: graph_pb2.Step, options: HandleOptions | None) -> None:
        if options is None:
            return
        if options.timeout is not None:
            step.timeout = duration(options.timeout)
        step.attempts = options.attempts
        if options.skip:
            step.on_error.skip = True
        fallback = options.fallback
        if isinstance(fallback, NoFallback):
            return
        if options.skip:
            raise ConfigError(f"{options.place}: both skip=True and fallback=; a step has one way out")
        if isinstance(fallback, Handle) or hasattr(fallback, "handle"):
            step.on_error.model = fallback.name
            return
        if callable(fallback):
            raise ConfigError(f"{options.place}: fallback= is a function; in a pipeline it is a handle, or values")
        for name, value in (fields_of(fallback) or {"": fallback}).items():
            try:
                step.on_error.value.values[name].CopyFrom(value_of(value))
            except InvalidInput as error:
                raise ConfigError(f"{options.place}: fallback=: {error}") from None

    def _count(self, symbol: Symbol, how: str) -> None:
        reference = reference_of(symbol)
        if reference.is_input:
            return
        call = self.calls.get(reference.node)
        if call is None:
            raise ConfigError(f"{here(self._file)}: {symbol!r} is of another pipeline")
        setattr(call, how, getattr(call, how) + 1)

    def _free(self, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_-]", "-", name)
        plain = plain if re.match(r"[A-Za-z_]", plain) and plain != INPUT else f"_{plain}"
        count, free = 1, plain
        while free in self.calls:
            count += 1
            free = f"{plain}-{count}"
        return free
