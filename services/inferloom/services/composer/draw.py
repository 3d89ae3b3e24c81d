"""A pipeline as text, for a terminal: nodes in the order they run, each with where its inputs come from."""

from __future__ import annotations

from collections.abc import Iterator

from inferloom.services.composer.check_scope import sizes
from inferloom.services.composer.cycles import ordered, steps_of
from inferloom.services.composer.references import INPUT
from inferloom.v1 import graph_pb2

__all__ = ["arms_of", "draw", "first_needs_of", "heading", "in_order", "lazy", "needs_of", "options_of", "runs"]

_INDENT = "  "


def draw(graph: graph_pb2.Graph) -> str:
    """Ends without a newline; also of a graph that did not pass its check."""
    names = [node.name for node in graph.nodes] + ["output"]
    width = max(len(name) for name in [*names, INPUT]) + 2
    lines = [graph.name + (f": {graph.description}" if graph.description else "")]
    if graph.timeout:
        lines[0] += f" (timeout {graph.timeout})"
    lines.append("")
    inputs = [
        f"{tensor.name} {tensor.datatype} {sizes(tuple(tensor.shape))}{_optional(tensor)}" for tensor in graph.inputs
    ]
    lines += _block(INPUT, inputs or ["nothing"], width)
    only = lazy(graph)
    for node in in_order(graph):
        when = f" (only for {only[node.name]})" if node.name in only else ""
        lines += [f"{_INDENT}│", *_block(node.name, [heading(node) + when, *_detail(node)], width)]
    outputs = [f"{output.name or '*'} ← {output.source}" for output in graph.outputs]
    lines += [f"{_INDENT}▼", *_block("output", outputs or ["nothing"], width, " ")]
    return "\n".join(lines)


def in_order(graph: graph_pb2.Graph) -> list[graph_pb2.Node]:
    """What a node needs comes before it."""
    nodes = {node.name: node for node in graph.nodes}
    order, _ = ordered({name: needs_of(node) & nodes.keys() for name, node in nodes.items()})
    return [nodes[name] for name in order]


def lazy(graph: graph_pb2.Graph) -> dict[str, str]:
    """Nodes that only run where an arm is taken -> "ROUTE, arm NAME"."""
    found: dict[str, str] = {}
    outputs = {output.source.partition(".")[0] for output in graph.outputs}
    for node in reversed(in_order(graph)):
        takers: set[str] = {""} if node.name in outputs else set()
        for other in graph.nodes:
            if node.name in first_needs_of(other):
                takers.add(found.get(other.name, ""))
            for arm in other.route.arms:
                if any(text.partition(".")[0] == node.name for text in arm.step.inputs.values()):
                    takers.add(f"{other.name}, arm {arm.name}")
        if len(takers) == 1 and (only := takers.pop()):
            found[node.name] = only
    return found


def first_needs_of(node: graph_pb2.Node) -> set[str]:
    """What it needs before it starts: of a route what decides, not what its arms need."""
    if not node.HasField("route"):
        return needs_of(node)
    texts = [*node.route.rules.inputs.values(), node.route.output]
    return {text.partition(".")[0] for text in texts if text}


def needs_of(node: graph_pb2.Node) -> set[str]:
    """Names before the dot of all its references."""
    texts = [text for _, step in steps_of(node) for text in step.inputs.values()]
    texts += [*node.route.rules.inputs.values(), node.route.output]
    return {text.partition(".")[0] for text in texts if text}


def heading(node: graph_pb2.Node) -> str:
    """One line: "vote of 3, quorum 2, wait 50ms", "route by shares, sticky by user", "model digits-svm"."""
    if node.HasField("ensemble"):
        ensemble = node.ensemble
        into = ensemble.model or ensemble.function
        parts = [f"{ensemble.combine.replace('_', ' ')} of {len(ensemble.members)}" + (f" into {into}" if into else "")]
        if ensemble.output:
            parts.append(f"by {ensemble.output}")
        if ensemble.quorum:
            parts.append(f"quorum {ensemble.quorum}")
        if ensemble.wait:
            parts.append(f"wait {ensemble.wait}")
        return "ensemble: " + ", ".join(parts)
    if node.HasField("route"):
        route = node.route
        how = {"rules": "by rules", "output": f"by {route.output}"}.get(route.WhichOneof("by") or "", "by shares")
        if route.split.unit:
            how += f", sticky by {route.split.unit}"
        return f"route {how}"
    return runs(node.step)


def runs(step: graph_pb2.Step) -> str:
    if step.model:
        return f"model {step.model}{f' version {step.version}' if step.version else ''}"
    return f"step {step.function}" if step.function else "pass"


def options_of(step: graph_pb2.Step) -> list[str]:
    """Its time-out, attempts and what happens on an error."""
    found = [f"timeout {step.timeout}"] if step.timeout else []
    if step.attempts:
        found.append(f"{step.attempts} attempt{'s' if step.attempts > 1 else ''}")
    does = step.on_error.WhichOneof("does")
    if does == "skip":
        found.append("skipped on error")
    elif does == "model":
        found.append(f"else {step.on_error.model}")
    elif does == "value":
        found.append(
            f"else {', '.join(f'{k or chr(42)}={_value(v)}' for k, v in sorted(step.on_error.value.values.items()))}"
        )
    return found


def arms_of(node: graph_pb2.Node) -> list[tuple[str, str, graph_pb2.Step]]:
    """Name, what is said of it ("90 %", "mirror of 10 %", "when ...", "weight 2") and step of each member or arm."""
    if node.HasField("ensemble"):
        return [(m.name, f"weight {m.weight:g}" if m.weight else "", m.step) for m in node.ensemble.members]
    route, found = node.route, []
    total = sum(arm.share for arm in route.arms if not arm.mirror) or 1.0
    for arm in route.arms:
        said = f"when {arm.when}" if arm.when else ""
        if arm.mirror:
            said = f"mirror of {arm.share:.4g} of the requests" if arm.share < 1 else "mirror of all requests"
        elif route.WhichOneof("by") == "split":
            said = f"{100 * arm.share / total:.4g} %"
        if arm.name == route.default:
            said = ", ".join(filter(None, (said, "default")))
        found.append((arm.name, said, arm.step))
    return found


def _detail(node: graph_pb2.Node) -> Iterator[str]:
    if node.HasField("step"):
        yield from _sources(node.step)
        if told := options_of(node.step):
            yield ", ".join(told)
        return
    parts = arms_of(node)
    width = max((len(name) for name, _, _ in parts), default=0)
    for place, (name, said, step) in enumerate(parts):
        mark = "└" if place == len(parts) - 1 else "├"
        sources = ", ".join(_sources(step))
        what = [f"{runs(step)} ({sources})" if sources else runs(step), *options_of(step)]
        yield f"{mark} {name.ljust(width)}  {', '.join(filter(None, (said, *what)))}"


def _sources(step: graph_pb2.Step) -> list[str]:
    given = [f"{name} ← {text}" if name else f"← {text}" for name, text in sorted(step.inputs.items())]
    return given + [f"{name or '*'} = {_value(value)}" for name, value in sorted(step.constants.items())]


def _value(value: object) -> str:
    from google.protobuf.json_format import MessageToJson

    text = MessageToJson(value, indent=None).removesuffix(".0")  # type: ignore[arg-type]  # a Value
    return text if len(text) <= 40 else f"{text[:37]}..."


def _optional(tensor: graph_pb2.TensorType) -> str:
    if tensor.HasField("default"):
        return f" = {_value(tensor.default)}"
    return " (optional)" if tensor.optional else ""


def _block(name: str, lines: list[str], width: int, bar: str = "│") -> list[str]:
    more = (f"{_INDENT}{bar.ljust(width)}{line}" for line in lines[1:])
    return [f"{_INDENT}{name.ljust(width)}{lines[0]}", *more]
