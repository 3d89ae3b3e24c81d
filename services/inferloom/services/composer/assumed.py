"""What a function that stands for a model takes and gives: as the graph uses it, for nobody has told its types.

A datatype of "" is not known and fits any other; so does an empty shape. An output that the graph does not name is called "".
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.cycles import steps_of
from inferloom.services.composer.references import Reference
from inferloom.services.signature import Signature
from inferloom.v1 import graph_pb2

__all__ = ["Assumed"]


class Assumed:
    """Of one graph."""

    def __init__(self, graph: graph_pb2.Graph) -> None:
        self._nodes = {node.name: node for node in graph.nodes}
        self._references = [Reference.parse(text) for text in _texts(graph) if text]

    def signature(self, name: str, function: Callable[..., object]) -> Signature:
        """Of the model that `function` stands for. What it takes without a name is called as its first argument."""
        inputs: dict[str, None] = {}
        outputs: dict[str, None] = {}
        for node in self._nodes.values():
            for path, step in steps_of(node):
                if name in (step.model, step.on_error.model):
                    inputs.update(dict.fromkeys([*step.inputs, *step.constants]))
                    outputs.update(dict.fromkeys(self._wanted(node, path)))
            if node.ensemble.model == name:
                inputs[node.ensemble.model_input] = None
                outputs.update(dict.fromkeys(self._used(node.name)))
        named = [output for output in outputs if output]
        return Signature(
            tuple(TensorSpec(each or _first(function), "", (), optional=True) for each in inputs),
            tuple(TensorSpec(each, "", ()) for each in named or [""]),
        )

    def _wanted(self, node: graph_pb2.Node, path: str) -> list[str]:
        """The outputs of a step that its node makes use of."""
        used = self._used(node.name)
        if not path.startswith("members."):
            return used
        if node.ensemble.output:
            return [node.ensemble.output]
        return [] if node.ensemble.combine.endswith("vote") or node.ensemble.model else used

    def _used(self, node: str) -> list[str]:
        """By name, also through those that pass all of it on."""
        found = dict.fromkeys(each.output for each in self._references if each.node == node)
        for other in self._nodes.values():
            for path, step in steps_of(other):
                if getattr(step, "pass") and step.inputs.get("") == node and other.name != node:
                    found.update(dict.fromkeys(self._wanted(other, path)))
        return [output for output in found if output]


def _texts(graph: graph_pb2.Graph) -> Iterator[str]:
    for node in graph.nodes:
        for _, step in steps_of(node):
            yield from step.inputs.values()
        if node.HasField("route"):
            yield from node.route.rules.inputs.values()
            yield node.route.output
    for output in graph.outputs:
        yield output.source


def _first(function: Callable[..., object]) -> str:
    try:
        return next(iter(inspect.signature(function).parameters), "input")
    except ValueError:  # some functions written in C do not tell
        return "input"
