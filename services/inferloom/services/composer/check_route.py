"""A Route: what decides, its arms and shares, and the outputs that all arms give."""

from __future__ import annotations

import math
import re

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.check_scope import Scope, compatible, same_datatype, sizes
from inferloom.services.composer.check_step import use_of
from inferloom.services.composer.checked import CheckedNode, Use
from inferloom.services.composer.graph import hint
from inferloom.services.composer.references import Reference
from inferloom.services.composer.rules import compiled
from inferloom.v1 import graph_pb2

__all__ = ["route_of"]

_NAMES = ("BYTES", "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
_MACRO = re.compile(r"\.(?:all|exists|exists_one|map|filter)\(\s*(\w+)\s*,")  # the name that one binds


def route_of(scope: Scope, node: graph_pb2.Node) -> CheckedNode | None:
    """The node as it will run; findings, and None where its outputs cannot be made out."""
    route, name = node.route, node.name
    names = [arm.name for arm in route.arms]
    for arm in route.arms:
        if not arm.name or names.count(arm.name) > 1:
            what = f"two arms are called '{arm.name}'" if arm.name else "an arm without a name"
            scope.findings.add(name, "arms", f"{what}; each has a name of its own")
            return None
    if not any(not arm.mirror for arm in route.arms):
        scope.findings.add(name, "arms", "none that answers; a route has at least one that is no mirror")
        return None
    if route.default and route.default not in names:
        scope.findings.add(name, "default", f"'{route.default}' is no arm{hint(route.default, names)}")
    by = route.WhichOneof("by")
    rules: dict[str, Reference] = {}
    decides: Reference | None = None
    if by == "split":
        _split(scope, node, names)
    elif by == "rules":
        rules = _rules(scope, node)
    elif by == "output":
        decides = _output(scope, node, names)
    else:
        scope.findings.add(name, "", "nothing says which arm is taken; give split, rules or output")
    _strays(scope, node, by)
    arms = _arms(scope, node)
    if arms is None:
        return None
    outputs = _same_outputs(scope, node, arms)
    return CheckedNode(node, outputs, rows=False, arms=arms, rules=rules, decides=decides) if outputs else None


def _split(scope: Scope, node: graph_pb2.Node, names: list[str]) -> None:
    route, name = node.route, node.name
    for arm in route.arms:
        path = f"arms.{arm.name}.share"
        if not math.isfinite(arm.share) or arm.share < 0:
            scope.findings.add(name, path, f"{arm.share:g}; it is a number from 0")
        elif arm.mirror and not 0 < arm.share <= 1:
            scope.findings.add(name, path, f"{arm.share:g}; of a mirror it is the part of the requests, above 0 to 1")
    if not sum(arm.share for arm in route.arms if not arm.mirror) > 0:
        scope.findings.add(name, "arms", "the sum of the shares is not above 0; nobody would be answered")
    for unit, taken in sorted(route.split.overrides.items()):
        if taken not in names:
            scope.findings.add(name, f"split.overrides.{unit}", f"'{taken}' is no arm{hint(taken, names)}")
    if route.default:
        scope.findings.add(name, "default", "a split has none: every request belongs to an arm; leave it out")


def _rules(scope: Scope, node: graph_pb2.Node) -> dict[str, Reference]:
    route, name, found = node.route, node.name, dict[str, Reference]()
    for key, text in sorted(route.rules.inputs.items()):
        source = scope.source(text, name, f"rules.inputs.{key}")
        if source is not None:
            found[key] = source.reference
    if not route.default:
        scope.findings.add(name, "default", "not said; a route by rules has an arm for when none holds")
    for arm in route.arms:
        path = f"arms.{arm.name}.when"
        if not arm.when:
            if arm.name != route.default:
                scope.findings.add(name, path, "not said; it would never be taken")
            continue
        with scope.findings.catching(name, path):
            program = compiled(arm.when)
            known = {"metadata", *route.rules.inputs, *_MACRO.findall(arm.when)}
            if unknown := [each for each in program.variables() if each not in known]:
                there = ", ".join(("metadata", *sorted(route.rules.inputs)))
                scope.findings.add(name, path, f"'{unknown[0]}' is not known; there is {there}")
    return found


def _output(scope: Scope, node: graph_pb2.Node, names: list[str]) -> Reference | None:
    route, name = node.route, node.name
    source = scope.source(route.output, name, "output")
    if source is None:
        return None
    spec = source.spec
    if spec is not None:
        told = f"{source.reference} is {spec.datatype} {sizes(spec.shape)}"
        if spec.datatype not in (*_NAMES, ""):
            scope.findings.add(name, "output", f"{told}; it is the name of an arm: text, truth or a whole number")
        elif not compatible(spec.shape, (1,)):
            scope.findings.add(name, "output", f"{told}; it must be one value")
        if spec.datatype == "BOOL" and (
            wrong := [each for each in names if each not in ("true", "false", route.default)]
        ):
            scope.findings.add(name, f"arms.{wrong[0]}", f"{told}, so its arms are called true and false")
    may_be_truth = spec is None or spec.datatype in ("BOOL", "")  # None: what is wrong with it is told where it stands
    if not route.default and not (may_be_truth and {"true", "false"} <= {*names}):
        scope.findings.add(name, "default", "not said; a value that names no arm would have nowhere to go")
    return source.reference


def _strays(scope: Scope, node: graph_pb2.Node, by: str | None) -> None:
    """Fields of arms that belong to another kind of route."""
    for arm in node.route.arms:
        if by != "split" and (arm.share or arm.mirror):
            field = "mirror" if arm.mirror else "share"
            scope.findings.add(node.name, f"arms.{arm.name}.{field}", "it belongs to a route by split; leave it out")
        if by != "rules" and arm.when:
            scope.findings.add(node.name, f"arms.{arm.name}.when", "it belongs to a route by rules; leave it out")


def _arms(scope: Scope, node: graph_pb2.Node) -> dict[str, Use] | None:
    """Arms that answer with constants come last: their types are those that the others give."""
    uses: dict[str, Use | None] = {}
    wanted: dict[str, TensorSpec] = {}
    for arm in sorted(
        node.route.arms, key=lambda arm: (bool(arm.step.constants) and getattr(arm.step, "pass"), arm.mirror)
    ):
        use = use_of(scope, node.name, f"arms.{arm.name}", arm.step, wanted)
        uses[arm.name] = use
        if use is not None:
            wanted = {**use.outputs, **wanted}
            if use.callee.streams:
                scope.findings.add(node.name, f"arms.{arm.name}", f"{arm.step.model} streams; an arm answers once")
    found = {arm.name: use for arm in node.route.arms if (use := uses[arm.name]) is not None}
    return found if len(found) == len(uses) else None


def _same_outputs(scope: Scope, node: graph_pb2.Node, arms: dict[str, Use]) -> dict[str, TensorSpec]:
    (first, base), *others = [(arm.name, arms[arm.name]) for arm in node.route.arms if not arm.mirror]
    outputs = dict(base.outputs)
    for name, use in others:
        if use.outputs.keys() != outputs.keys():
            text = (
                f"it gives {', '.join(use.outputs)}, {first} gives {', '.join(outputs)}; all arms give the same outputs"
            )
            scope.findings.add(node.name, f"arms.{name}", text)
            continue
        for key, spec in use.outputs.items():
            have = outputs[key]
            ranks = len(spec.shape) == len(have.shape) or not spec.shape or not have.shape
            if not same_datatype(spec, have) or not ranks or not compatible(spec.shape, have.shape):
                text = f"it gives {spec}, {first} gives {have}; all arms give the same outputs"
                scope.findings.add(node.name, f"arms.{name}", text)
                break
            if spec.shape != have.shape:
                same = zip(spec.shape, have.shape, strict=False) if spec.shape and have.shape else ()
                outputs[key] = TensorSpec(key, spec.datatype, tuple(a if a == b else -1 for a, b in same))
    for arm in node.route.arms:
        if arm.mirror and arms[arm.name].outputs.keys().isdisjoint(outputs):
            text = f"it gives {', '.join(arms[arm.name].outputs)}, none of {', '.join(outputs)}; there is nothing to compare"
            scope.findings.add(node.name, f"arms.{arm.name}", text)
    return outputs
