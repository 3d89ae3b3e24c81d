"""What only the whole graph shows: nodes nobody needs, time-outs along a way, streams, effects under a mirror."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferloom.mesh.catalog import Repeat
from inferloom.services.composer.check_scope import Known, Scope
from inferloom.services.composer.checked import CheckedNode, Use
from inferloom.services.composer.cycles import models_of, steps_of
from inferloom.services.composer.references import Reference
from inferloom.v1 import graph_pb2

__all__ = ["whole_findings"]


def whole_findings(scope: Scope, order: list[str], outputs: Mapping[str, Reference], circle: bool) -> None:
    ends = {reference.node for reference in outputs.values() if not reference.is_input}
    _timeouts(scope, order)
    _streams(scope, outputs)
    if scope.failed or scope.lost or circle or not ends:
        return  # what could not be made out would look as if nobody needed it
    needed = _upstream(scope.nodes, ends)
    for name in order:
        if name not in needed:
            scope.findings.add(name, "", "no output needs it; use its outputs, or take it out")
    _effects(scope, ends)


def _upstream(nodes: Mapping[str, CheckedNode], ends: Iterable[str], *, mirrors: bool = True) -> set[str]:
    """All nodes that these may need, with themselves."""
    found: set[str] = set()
    open_ = [name for name in ends if name in nodes]
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            node = nodes[name]
            open_ += node.needs
            for arm in node.node.route.arms:
                if mirrors or not arm.mirror:
                    open_ += node.arms[arm.name].needs
    return found


def _timeouts(scope: Scope, order: list[str]) -> None:
    """The longest that the time-outs along a way add up to, against the pipeline's."""
    whole = scope.whole
    if whole is None:
        return
    told = scope.graph.timeout
    ways: dict[str, list[tuple[str, float]]] = {}
    for name in order:
        node = scope.nodes.get(name)
        if node is None:
            continue
        own = 0.0
        for path, use in _uses(node):
            timeout = use.timeout or 0.0
            own = max(own, timeout)
            if timeout > whole:
                field = ".".join(filter(None, (path, "timeout")))
                scope.findings.add(
                    name, field, f"{use.step.timeout} is longer than the pipeline's {told}; make it shorter"
                )
        if node.node.ensemble.wait:
            own = min(own, scope.seconds(node.node.ensemble.wait, name, "wait") or own)
        before = max((ways.get(need, []) for need in node.may_need), key=_sum, default=[])
        ways[name] = [*before, (name, own)] if own else before
        if own and own <= whole < _sum(ways[name]) and _sum(before) <= whole:
            parts = " + ".join(f"{step} {seconds:g}s" for step, seconds in ways[name])
            text = f"the time-outs up to here are {parts} = {_sum(ways[name]):g}s"
            scope.findings.add(
                name, "timeout", f"{text}, more than the pipeline's {told}; make them shorter, or that longer"
            )


def _sum(way: list[tuple[str, float]]) -> float:
    return sum(seconds for _, seconds in way)


def _streams(scope: Scope, outputs: Mapping[str, Reference]) -> None:
    """A model that streams is the last step: nothing else takes its outputs, and all outputs are its."""
    for name, node in scope.nodes.items():
        if not node.streams or node.step is None:
            continue
        model = node.step.step.model or node.step.step.function
        takers = [other.name for other in scope.nodes.values() if name in other.may_need]
        if takers:
            scope.findings.add(
                name, "", f"{model} streams, but {takers[0]} takes its outputs; only the last step may stream"
            )
        elif others := [key for key, reference in outputs.items() if reference.node != name]:
            text = f"{model} streams, but output '{others[0]}' is not its; with a last step that streams all outputs are its"
            scope.findings.add(name, "", text)


def _effects(scope: Scope, ends: set[str]) -> None:
    """A mirrored request is one more request: what changes something outside must not get it."""
    answering = _upstream(scope.nodes, ends, mirrors=False)
    for name, node in scope.nodes.items():
        for arm in node.node.route.arms:
            if not arm.mirror:
                continue
            use = node.arms[arm.name]
            only = _upstream(scope.nodes, use.needs) - answering
            steps = [use.step, *(step for need in only for _, step in steps_of(scope.nodes[need].node))]
            for step in steps:
                for model in (step.model, step.on_error.model):
                    if model and _has_effects(model, scope.known, frozenset()):
                        text = (
                            f"'{model}' has effects (effects=True); what has them is never mirrored: take the arm out"
                        )
                        scope.findings.add(name, f"arms.{arm.name}", text)


def _has_effects(model: str, known: Known, seen: frozenset[str]) -> bool:
    if known.repeat(model) is Repeat.NEVER:
        return True
    graph: graph_pb2.Graph | None = known.graphs.get(model)
    if graph is None or model in seen:
        return False
    return any(_has_effects(inner, known, seen | {model}) for inner in models_of(graph))


def _uses(node: CheckedNode) -> list[tuple[str, Use]]:
    if node.step is not None:
        return [("", node.step)]
    return [
        *((f"members.{name}", use) for name, use in node.members.items()),
        *((f"arms.{name}", use) for name, use in node.arms.items()),
    ]
