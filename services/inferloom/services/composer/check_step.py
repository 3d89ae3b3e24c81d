"""A Step: what it calls, whether its inputs fit, and what it gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from inferloom.clients.metadata import TensorSpec
from inferloom.clients.near import nearest
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.check_scope import Scope, compatible, misfit, same_datatype
from inferloom.services.composer.checked import Use
from inferloom.services.composer.constants import tensor_of
from inferloom.services.composer.graph import hint
from inferloom.services.composer.references import Reference
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor
from inferloom.v1 import graph_pb2

__all__ = ["callee_of", "fallback_of", "use_of"]

_NOTHING: Mapping[str, TensorSpec] = {}


def use_of(
    scope: Scope, node: str, path: str, step: graph_pb2.Step, wanted: Mapping[str, TensorSpec] = _NOTHING
) -> Use | None:
    """The step as it will run; findings, and None where its outputs cannot be made out.

    Args:
        path: the field it stands in: "" of a node's own, "members.svm", "arms.a".
        wanted: what its outputs should be, where it passes constants on.
    """
    timeout = scope.seconds(step.timeout, node, _at(path, "timeout"))
    for name in sorted(step.inputs.keys() & step.constants.keys()):
        scope.findings.add(
            node, _at(path, f"inputs.{name}"), f"'{name}' is given as a constant as well; give one of them"
        )
    if step.WhichOneof("runs") is None:
        scope.findings.add(node, path, "a step says what it runs: model, function or pass")
        return None
    if getattr(step, "pass"):
        return _pass(scope, node, path, step, timeout, wanted)
    callee = callee_of(scope, node, path, step)
    if callee is None:
        for name, text in sorted(step.inputs.items()):  # their references are checked all the same
            scope.source(text, node, _at(path, f"inputs.{name}"))
        return None
    what = step.model or step.function
    fallback = fallback_of(scope, node, path, step, callee)
    inputs, constants, used = _inputs(scope, node, path, step, callee, what)
    return Use(step, used, inputs, constants, timeout, fallback)


def callee_of(scope: Scope, node: str, path: str, step: graph_pb2.Step) -> Signature | None:
    if step.model:
        return scope.signature(step.model, step.version, node, _at(path, "model"))
    if step.version:
        scope.findings.add(node, _at(path, "version"), "a function has no version; leave it out")
    declaration = scope.known.steps.get(step.function)
    if declaration is None:
        text = f"no step '{step.function}' in the packages that the composer was started with"
        scope.findings.add(node, _at(path, "function"), text + _step_hint(step.function, scope.known.steps))
        return None
    return replace(declaration.types.signature, rows=declaration.rows)


def _step_hint(reference: str, known: Collection[str]) -> str:
    """A near name, where the composer has the step's module or one that is called nearly so; else how it gets it."""
    module, colon, _ = reference.partition(":")
    modules = sorted({name.partition(":")[0] for name in known})
    near = nearest(module, modules)
    if near or not colon:
        return hint(reference, [name for name in known if name.startswith(f"{near}:")] if near else known)
    has = f"those of {', '.join(modules)}" if modules else "none"
    return f"; it has {has}: write `import {module}` in the file that it runs, and start it again"


def fallback_of(
    scope: Scope, node: str, path: str, step: graph_pb2.Step, callee: Signature
) -> dict[str, Tensor] | None:
    """The tensors of `on_error.value`; of `on_error.model` its outputs are checked."""
    does, given = step.on_error.WhichOneof("does"), {spec.name: spec for spec in callee.outputs}
    if does == "model":
        other = scope.signature(step.on_error.model, "", node, _at(path, "on_error.model"))
        if other is not None:
            _same_faces(scope, node, _at(path, "on_error.model"), step, callee, other)
        return None
    if does != "value":
        return None
    at, found = _at(path, "on_error.value"), dict[str, Tensor]()
    for name, value in sorted(step.on_error.value.values.items()):
        if not name and len(given) == 1:
            [name] = given
        if name not in given:
            scope.findings.add(node, _at(at, name), f"no output '{name}'{hint(name, given)}")
            continue
        try:
            found[name] = tensor_of(value, given[name], row=callee.rows)
        except InvalidInput as error:
            scope.findings.add(node, _at(at, name), str(error))
    if missing := [
        str(spec) for name, spec in given.items() if name not in step.on_error.value.values and name not in found
    ]:
        scope.findings.add(node, at, f"it must give all outputs: {', '.join(missing)} is missing")
    return found


def _inputs(
    scope: Scope, node: str, path: str, step: graph_pb2.Step, callee: Signature, what: str
) -> tuple[dict[str, Reference], dict[str, Tensor], Signature]:
    """Where each comes from, the constants, and the callee as it is used here."""
    given: dict[str, TensorSpec] = {}
    unclear: set[str] = set()
    specs = {spec.name: spec for spec in callee.inputs}
    takes = f"{what} takes {', '.join(map(str, callee.inputs)) or 'nothing'}"
    inputs, constants = dict[str, Reference](), dict[str, Tensor]()
    for name in sorted({*step.inputs, *step.constants}):
        at = _at(path, f"{'inputs' if name in step.inputs else 'constants'}.{name}".rstrip("."))
        spec = _input(name, specs)
        if spec is None:
            cure = f"; name it: {takes}" if not name else hint(name, specs) if specs else f"; {takes}"
            text = f"{what} has {len(specs)} inputs" if not name else f"{what} has no input '{name}'"
            scope.findings.add(node, at, text + cure)
            unclear.add(name)
            continue
        if name not in step.inputs:
            try:
                constants[spec.name] = tensor_of(step.constants[name], spec, row=callee.rows)
            except InvalidInput as error:
                scope.findings.add(node, at, str(error))
        elif (source := scope.source(step.inputs[name], node, at)) is not None:
            inputs[spec.name] = source.reference
            if source.spec and (wrong := misfit(source.spec, spec, str(source.reference), what)):
                scope.findings.add(node, at, wrong)
            elif source.spec and scope.may_miss(source) and not spec.optional:
                text = f"{source.reference} may be left out, but {what} needs {spec}; give it a default"
                scope.findings.add(node, at, text)
            if source.spec:
                given[spec.name] = source.spec
    said = {spec.name for name in [*step.inputs, *step.constants] if (spec := _input(name, specs))}
    for spec in callee.inputs:
        if spec.name not in said and not spec.optional and "" not in unclear:
            scope.findings.add(node, _at(path, "inputs"), f"{what} needs {spec}; say where it comes from")
    return inputs, constants, _with_batch(callee, [spec.shape for spec in given.values()])


def _with_batch(callee: Signature, shapes: list[tuple[int, ...]]) -> Signature:
    """The callee as it is used here: of a batch whose size is known all outputs have that size."""
    sizes = {shape[0] for shape in shapes if shape}
    if not callee.rows or len(sizes) != 1 or -1 in sizes:
        return callee
    [size] = sizes
    outputs = tuple(replace(spec, shape=(size, *spec.shape[1:])) for spec in callee.outputs if spec.shape[:1] == (-1,))
    return replace(callee, outputs=outputs) if len(outputs) == len(callee.outputs) else callee


def _input(name: str, specs: Mapping[str, TensorSpec]) -> TensorSpec | None:
    """ "" is the only one, or the only one that must be given."""
    if name:
        return specs.get(name)
    needed = [spec for spec in specs.values() if not spec.optional] if len(specs) > 1 else [*specs.values()]
    return needed[0] if len(needed) == 1 else None


def _pass(
    scope: Scope, node: str, path: str, step: graph_pb2.Step, timeout: float | None, wanted: Mapping[str, TensorSpec]
) -> Use | None:
    inputs, constants, outputs = dict[str, Reference](), dict[str, Tensor](), list[TensorSpec]()
    rows, whole = True, True
    for name, text in sorted(step.inputs.items()):
        if not name and text in scope.written:
            found = scope.nodes.get(text)
            whole = whole and found is not None and text not in scope.failed
            for spec in found.outputs.values() if found else ():
                inputs[spec.name] = Reference(text, spec.name)
                outputs.append(spec)
            rows = rows and bool(found and found.rows)
            continue
        source = scope.source(text, node, _at(path, f"inputs.{name}".rstrip(".")))
        if source is None or source.spec is None:
            whole = False
            continue
        inputs[name or source.spec.name] = source.reference
        outputs.append(replace(source.spec, name=name or source.spec.name, optional=False))
        rows = rows and source.rows
    for name, value in sorted(step.constants.items()):
        try:
            constants[name] = made = tensor_of(value, wanted.get(name))
        except InvalidInput as error:
            scope.findings.add(node, _at(path, f"constants.{name}"), str(error))
            whole = False
            continue
        outputs.append(TensorSpec(name, made.datatype, made.shape))
    if not step.inputs and not step.constants:
        scope.findings.add(node, _at(path, "inputs"), "a pass with nothing to pass on; name what its outputs are")
        return None
    callee = Signature((), tuple(outputs), rows and not constants)
    return Use(step, callee, inputs, constants, timeout) if whole else None


def _same_faces(scope: Scope, node: str, path: str, step: graph_pb2.Step, callee: Signature, other: Signature) -> None:
    """A fallback model takes the same inputs and gives the same outputs."""
    name = step.on_error.model
    takes = {spec.name: spec for spec in other.inputs}
    for spec in callee.inputs:
        if spec.name in takes and same_datatype(takes[spec.name], spec):
            continue
        if not spec.optional:
            scope.findings.add(node, path, f"'{name}' does not take {spec}, as '{step.model or step.function}' does")
    gives = {spec.name: spec for spec in other.outputs}
    for spec in callee.outputs:
        found = gives.get(spec.name)
        if found is None or not same_datatype(found, spec) or not compatible(found.shape, spec.shape):
            scope.findings.add(node, path, f"'{name}' does not give {spec}, as '{step.model or step.function}' does")


def _at(path: str, field: str) -> str:
    return ".".join(filter(None, (path, field)))
