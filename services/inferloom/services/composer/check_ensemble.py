"""An Ensemble: its members' common output, its weights and quorum, and what it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.check_scope import Scope, compatible, misfit, same_datatype, sizes
from inferloom.services.composer.check_step import callee_of, use_of
from inferloom.services.composer.checked import CheckedNode, Use
from inferloom.services.composer.graph import hint
from inferloom.v1 import graph_pb2

__all__ = ["COMBINES", "ensemble_of"]

COMBINES = ("mean", "weighted_mean", "median", "max", "vote", "weighted_vote", "concat", "stack", "function")
_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_SIDE_BY_SIDE = ("concat", "stack")  # along the last axis, which may differ


def ensemble_of(scope: Scope, node: graph_pb2.Node) -> CheckedNode | None:
    """The node as it will run; findings, and None where its outputs cannot be made out."""
    ensemble, name = node.ensemble, node.name
    members: dict[str, Use | None] = {}
    for member in ensemble.members:
        path = f"members.{member.name}"
        if not member.name or member.name in members:
            what = f"two members are called '{member.name}'" if member.name else "a member without a name"
            scope.findings.add(name, "members", f"{what}; each has a name of its own")
            continue
        use = members[member.name] = use_of(scope, name, path, member.step)
        if use is not None and use.callee.streams:
            scope.findings.add(name, path, f"{member.step.model} streams; a member answers once")
    _numbers(scope, node)
    if ensemble.combine not in COMBINES:
        text = f"{ensemble.combine!r} is none{hint(ensemble.combine, COMBINES)}"
        scope.findings.add(
            name, "combine", text if ensemble.combine else f"not said; write one of {', '.join(COMBINES)}"
        )
        return None
    if not members or len(members) != len(ensemble.members):
        if not ensemble.members:
            scope.findings.add(name, "members", "none; an ensemble has at least one")
        return None
    uses = {key: use for key, use in members.items() if use is not None}
    output = _common(scope, node, uses)
    if output is None or len(uses) != len(members):
        return None
    if not _agree(scope, node, uses, output):
        return None
    return _combined(scope, node, uses, output)


def _numbers(scope: Scope, node: graph_pb2.Node) -> None:
    """Weights, quorum, wait."""
    ensemble, name = node.ensemble, node.name
    count, weighted = len(ensemble.members), ensemble.combine.startswith("weighted_")
    given = [member for member in ensemble.members if member.weight]
    for member in given:
        if not math.isfinite(member.weight) or member.weight < 0:
            scope.findings.add(name, f"members.{member.name}.weight", f"{member.weight:g}; it is a number above 0")
    if given and not weighted:
        cure = f"write weighted_{ensemble.combine}" if ensemble.combine in ("mean", "vote") else "leave them out"
        scope.findings.add(name, "combine", f"{ensemble.combine} does not use weights; {cure}")
    if weighted and len(given) < count:
        text = f"{len(given)} of {count} members have a weight; give each one above 0"
        scope.findings.add(name, "members", text)
    elif weighted and count and sum(member.weight for member in given) == math.inf:
        scope.findings.add(name, "members", "the sum of the weights is not finite; make them smaller")
    if ensemble.quorum > count:
        text = f"{ensemble.quorum} of {count} members; it is at most {count}"
        scope.findings.add(name, "quorum", text)
    if ensemble.combine == "stack" and 0 < ensemble.quorum < count:
        text = f"{ensemble.quorum} of {count} members; the model of a stack needs all of them: leave it out"
        scope.findings.add(name, "quorum", text)
    wait, whole = scope.seconds(ensemble.wait, name, "wait"), scope.whole
    if wait is not None and whole is not None and wait > whole:
        text = f"{ensemble.wait} is longer than the pipeline's timeout {scope.graph.timeout}; make it shorter"
        scope.findings.add(name, "wait", text)


def _common(scope: Scope, node: graph_pb2.Node, uses: Mapping[str, Use]) -> str | None:
    """The output that is combined."""
    ensemble, name = node.ensemble, node.name
    if ensemble.output:
        lacking = [(key, use) for key, use in uses.items() if ensemble.output not in use.outputs]
        for key, use in lacking:
            text = f"it has no output '{ensemble.output}', which is combined{hint(ensemble.output, use.outputs)}"
            scope.findings.add(name, f"members.{key}", text)
        return None if lacking else ensemble.output
    if not uses:
        return None
    first, *others = uses.values()
    common = [output for output in first.outputs if all(output in use.outputs for use in others)]
    if "label" in common and ensemble.combine.endswith("vote"):
        return "label"
    if len(common) == 1:
        return common[0]
    if common:
        scope.findings.add(name, "output", f"the members have {', '.join(common)} in common; say which is combined")
        return None
    gives = "; ".join(f"{key} gives {', '.join(use.outputs)}" for key, use in uses.items())
    scope.findings.add(name, "output", f"the members have none in common ({gives}); pass one on under the other's name")
    return None


def _agree(scope: Scope, node: graph_pb2.Node, uses: Mapping[str, Use], output: str) -> bool:
    """Whether all members give the same datatype and shape."""
    loose = node.ensemble.combine in _SIDE_BY_SIDE
    (first, base), *others = [(key, use.outputs[output]) for key, use in uses.items()]
    agreed = True
    for key, spec in others:
        last = 1 if loose and len(spec.shape) == len(base.shape) else 0
        mine, theirs = spec.shape[: len(spec.shape) - last], base.shape[: len(base.shape) - last]
        same_rank = not spec.shape or not base.shape or len(spec.shape) == len(base.shape)
        if not same_datatype(spec, base) or not same_rank or not compatible(mine, theirs):
            text = f"it gives {spec}, {first} gives {base}; all members give the same"
            scope.findings.add(node.name, f"members.{key}", text)
            agreed = False
    return agreed


def _combined(scope: Scope, node: graph_pb2.Node, uses: Mapping[str, Use], output: str) -> CheckedNode | None:
    ensemble, name = node.ensemble, node.name
    how = ensemble.combine.removeprefix("weighted_")
    specs = [use.outputs[output] for use in uses.values()]
    base = TensorSpec(output, specs[0].datatype, _joint([spec.shape for spec in specs]))
    rows = all(use.callee.rows for use in uses.values())
    into, model_input = None, ""
    if how in ("mean", "median", "max") and base.datatype in ("BYTES", "BOOL"):
        text = f"{output} is {base.datatype}, which has no {how}; vote, or combine numbers"
        scope.findings.add(name, "combine", text)
        return None
    if how == "vote":
        found = _vote(base)
    elif how in ("mean", "median"):
        found = [TensorSpec(output, base.datatype if base.datatype in (*_FLOATS, "") else "FP64", base.shape)]
    elif how == "max":
        found = [base]
    else:
        if how in _SIDE_BY_SIDE and rows and len(base.shape) == 1:
            text = f"{output} is {sizes(base.shape)}, one value a row; side by side they need {sizes((*base.shape, 1))}"
            scope.findings.add(name, "output", text)
            return None
        every = ensemble.quorum in (0, len(uses)) and not ensemble.wait
        joined = (
            _joined(base, [spec.shape for spec in specs], every) if how != "function" else _stacked(base, uses, every)
        )
        if how == "concat":
            found = [joined]
        else:
            taken = _into(scope, node, joined)
            if taken is None:
                return None
            into, model_input = taken
            found, rows = list(into.callee.outputs), rows and into.callee.rows and how == "stack"
    outputs = {spec.name: spec for spec in found}
    return CheckedNode(node, outputs, rows, members=uses, combined=output, into=into, model_input=model_input)


def _into(scope: Scope, node: graph_pb2.Node, joined: TensorSpec) -> tuple[Use, str] | None:
    """The model or function that takes what is combined, and its input."""
    ensemble, name = node.ensemble, node.name
    field = "model" if ensemble.combine == "stack" else "function"
    step = graph_pb2.Step(**{field: getattr(ensemble, field)})
    if not getattr(ensemble, field):
        scope.findings.add(name, field, f"not said; {ensemble.combine} needs one")
        return None
    callee = callee_of(scope, name, "", step)
    if callee is None:
        return None
    specs = {spec.name: spec for spec in callee.inputs}
    wanted = ensemble.model_input
    if not wanted:
        needed = [spec.name for spec in callee.inputs if not spec.optional] or list(specs)
        if len(needed) != 1:
            text = (
                f"{getattr(ensemble, field)} takes {', '.join(map(str, callee.inputs)) or 'nothing'}; say which it is"
            )
            scope.findings.add(name, "model_input", text)
            return None
        [wanted] = needed
    elif wanted not in specs:
        text = f"{getattr(ensemble, field)} has no input '{wanted}'{hint(wanted, specs)}"
        scope.findings.add(name, "model_input", text)
        return None
    for spec in callee.inputs:
        if spec.name != wanted and not spec.optional:
            scope.findings.add(
                name, field, f"{getattr(ensemble, field)} needs {spec} as well; a {field} here has one input"
            )
    if wrong := misfit(joined, specs[wanted], f"what is combined of {joined.name}", getattr(ensemble, field)):
        scope.findings.add(name, field, wrong)
    if callee.streams:
        scope.findings.add(name, field, f"{getattr(ensemble, field)} streams; it answers once here")
    return Use(step, callee, {}, {}), wanted


def _vote(base: TensorSpec) -> list[TensorSpec]:
    if not base.datatype:  # not known: labels and scores have different shapes
        return [TensorSpec("label", "", ()), TensorSpec("share", "FP64", ())]
    scores = base.datatype in _FLOATS
    shape = (base.shape[:-1] or (1,)) if scores and base.shape else base.shape
    return [TensorSpec("label", "INT64" if scores else base.datatype, shape), TensorSpec("share", "FP64", shape)]


def _joint(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Sizes that all have; -1 where they differ or are not told."""
    told = [shape for shape in shapes if shape]
    if len(told) != len(shapes):
        return ()
    return tuple(sizes_[0] if len(set(sizes_)) == 1 else -1 for sizes_ in zip(*told, strict=True))


def _joined(base: TensorSpec, shapes: list[tuple[int, ...]], every: bool) -> TensorSpec:
    """Side by side; -1 where a member may be missing."""
    if not base.shape:
        return base
    last = [shape[-1] for shape in shapes]
    return TensorSpec(base.name, base.datatype, (*base.shape[:-1], sum(last) if every and -1 not in last else -1))


def _stacked(base: TensorSpec, uses: Mapping[str, Use], every: bool) -> TensorSpec:
    if not base.shape:
        return base
    return TensorSpec(base.name, base.datatype, (len(uses) if every else -1, *base.shape))
