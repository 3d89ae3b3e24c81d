"""The outputs of a pipeline: where they come from, and whether they are what the annotations say."""

from __future__ import annotations

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.check_scope import Scope, compatible, same_datatype, sizes
from inferloom.services.composer.references import Reference
from inferloom.v1 import graph_pb2

__all__ = ["outputs_of"]

_Found = tuple[str, Reference | None, TensorSpec | None]  # name, where it comes from, what it is; None: not made out


def outputs_of(scope: Scope) -> tuple[dict[str, Reference], tuple[TensorSpec, ...]]:
    """By name, and what they are as far as it could be made out. An output without a name stands for all of a node."""
    found: dict[str, Reference] = {}
    specs: dict[str, TensorSpec] = {}
    if not scope.graph.outputs:
        scope.findings.add("", "outputs", "none; a pipeline names what it answers with")
    for output in scope.graph.outputs:
        whole = not output.name and output.source in scope.written
        for name, reference, spec in _all(scope, output.source) if whole else [_one(scope, output)]:
            if reference is None:
                continue
            if name in found:
                scope.findings.add("", f"outputs.{name}", "two outputs have this name; each has one of its own")
            found[name] = reference
            if spec is not None:
                specs[name] = TensorSpec(name, spec.datatype, spec.shape)
    return found, tuple(specs.values())


def _all(scope: Scope, source: str) -> list[_Found]:
    node = scope.nodes.get(source)
    if node is None:
        return [("", Reference(source), None)]  # it is needed, whatever it gives
    return [(spec.name, Reference(source, spec.name), spec) for spec in node.outputs.values()]


def _one(scope: Scope, output: graph_pb2.Output) -> _Found:
    path = f"outputs.{output.name}".rstrip(".")
    source = scope.source(output.source, "", path)
    if source is None:
        return output.name, None, None
    spec = source.spec
    if spec is not None and output.datatype:
        want = TensorSpec(output.name, output.datatype, tuple(output.shape))
        if not same_datatype(spec, want) or not compatible(spec.shape, want.shape):
            says = f"it is annotated {want.datatype} {sizes(want.shape)}"
            text = f"{says}, but {source.reference} is {spec.datatype} {sizes(spec.shape)}"
            scope.findings.add("", path, f"{text}; annotate that, or convert it in a step")
    if scope.may_miss(source):
        scope.findings.add("", path, f"{source.reference} may be left out; an output is always there")
    return output.name or source.reference.output, source.reference, spec
