"""Whether a pipeline can run, before it takes traffic: against models' metadata, declared steps and other pipelines.

Pure: what is known comes as an argument. Every finding names node and field and says what would be right; one mistake gives
one finding, since what cannot be made out because of it is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from inferloom.clients.datatypes import BF16, NUMPY
from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.check_ensemble import ensemble_of
from inferloom.services.composer.check_outputs import outputs_of
from inferloom.services.composer.check_route import route_of
from inferloom.services.composer.check_scope import Known, Scope
from inferloom.services.composer.check_step import use_of
from inferloom.services.composer.check_whole import whole_findings
from inferloom.services.composer.checked import Checked, CheckedNode
from inferloom.services.composer.constants import tensor_of
from inferloom.services.composer.cycles import circle_of_pipelines, ordered, steps_of
from inferloom.services.composer.findings import Findings
from inferloom.services.composer.graph import hint
from inferloom.services.composer.references import is_name
from inferloom.services.signature import Signature
from inferloom.v1 import graph_pb2

__all__ = ["Known", "check"]

_NO_PLACES: Mapping[str, str] = {}
_NUMPY_NAMES = {dtype.name: name for name, dtype in NUMPY.items() if name != BF16}


def check(graph: graph_pb2.Graph, known: Known, places: Mapping[str, str] = _NO_PLACES) -> Checked:
    """The graph with all short forms spelled out, and what is wrong with it.

    Args:
        places: where nodes are written, as `trace.traced` gives them: "file:line" by node.
    """
    scope = Scope(graph, known, Findings(places))
    add = scope.findings.add
    scope.whole = scope.seconds(graph.timeout, "", "timeout")
    _inputs(scope)
    counts = Counter(node.name for node in graph.nodes)
    for name, count in counts.items():
        if count > 1:
            add(name, "", f"{count} nodes have this name; each has a name of its own")
        elif not is_name(name):
            add(
                name, "", f"'{name}' is no name of a node; letters, digits, _ and -, not a digit first, and not `input`"
            )
    scope.written = {node.name: node for node in graph.nodes}
    order, circle = ordered({name: _needs(node, scope.written) for name, node in scope.written.items()})
    if circle:
        add(circle[0], "", f"it needs itself: {' -> '.join(circle)}; take one of these references out")
    if pipelines := circle_of_pipelines(graph, known.graphs):
        add("", "", f"it calls itself: {' -> '.join(pipelines)}; take one of these calls out")
    for name in order:
        node = scope.written[name]
        found = _node(scope, node) if name not in circle else None
        if found is None:
            scope.failed.add(name)
        else:
            scope.nodes[name] = found
    outputs, specs = outputs_of(scope)
    whole_findings(scope, order, outputs, bool(circle))
    signature = _signature(scope, specs, [reference.node for reference in outputs.values()])
    return Checked(graph, tuple(scope.findings.found), scope.nodes, outputs, signature, scope.defaults, scope.whole)


def _node(scope: Scope, node: graph_pb2.Node) -> CheckedNode | None:
    kind = node.WhichOneof("kind")
    if kind == "ensemble":
        return ensemble_of(scope, node)
    if kind == "route":
        return route_of(scope, node)
    if kind is None:
        scope.findings.add(node.name, "", "nothing to do; give step, ensemble or route")
        return None
    use = use_of(scope, node.name, "", node.step)
    return CheckedNode(node, use.outputs, use.callee.rows, use.callee.streams, step=use) if use else None


def _needs(node: graph_pb2.Node, nodes: Mapping[str, graph_pb2.Node]) -> list[str]:
    """Nodes that any of its references may name."""
    texts = [text for _, step in steps_of(node) for text in step.inputs.values()]
    if node.HasField("route"):
        texts += [*node.route.rules.inputs.values(), node.route.output]
    return [name for text in texts if (name := text.partition(".")[0]) in nodes]


def _inputs(scope: Scope) -> None:
    for tensor in scope.graph.inputs:
        path = f"inputs.{tensor.name}"
        if not tensor.name or tensor.name in scope.inputs:
            text = f"two inputs are called '{tensor.name}'" if tensor.name else "an input without a name"
            scope.findings.add("", "inputs", f"{text}; each has a name of its own")
            continue
        if tensor.datatype not in NUMPY:
            meant = _NUMPY_NAMES.get(tensor.datatype.lower())
            cure = f"; did you mean '{meant}'?" if meant else hint(tensor.datatype, NUMPY)
            scope.findings.add("", path, f"{tensor.datatype!r} is no datatype{cure}")
            scope.inputs[tensor.name] = TensorSpec(tensor.name, "", ())
            continue
        if wrong := [size for size in tensor.shape if size < -1]:
            scope.findings.add("", path, f"a size of {wrong[0]}; it is -1 (any) or from 0")
        optional = tensor.optional or tensor.HasField("default")
        spec = scope.inputs[tensor.name] = TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape), optional)
        if tensor.HasField("default"):
            try:
                scope.defaults[tensor.name] = tensor_of(tensor.default, spec)
            except InvalidInput as error:
                scope.findings.add("", f"{path}.default", str(error))


def _signature(scope: Scope, outputs: tuple[TensorSpec, ...], ends: list[str]) -> Signature:
    """Row-wise where every input and node is; it streams where the node that answers does."""
    inputs = tuple(scope.inputs.values())
    rows = all(spec.shape[:1] == (-1,) for spec in inputs) and all(node.rows for node in scope.nodes.values())
    streams = any(scope.nodes[name].streams for name in ends if name in scope.nodes)
    return Signature(inputs, outputs, rows and bool(scope.nodes), streams)
