"""The order of a graph's nodes, and the circles that leave none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from inferloom.v1 import graph_pb2

__all__ = ["circle_of_pipelines", "models_of", "ordered", "steps_of"]


def ordered(needs: Mapping[str, Iterable[str]]) -> tuple[list[str], list[str]]:
    """Nodes with what they need first, as written where that leaves a choice; and one circle, or nothing.

    With a circle the order is the one written.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in needs:
        sorter.add(name)
    for name, before in needs.items():
        sorter.add(name, *sorted({*before}, key=list(needs).index))
    try:
        return [name for name in sorter.static_order() if name in needs], []
    except CycleError as error:
        return list(needs), list(reversed(error.args[1]))


def circle_of_pipelines(graph: graph_pb2.Graph, graphs: Mapping[str, graph_pb2.Graph]) -> list[str]:
    """The pipelines from `graph` back to itself: ["a", "b", "a"]; empty where there is no way back."""
    known = {**graphs, graph.name: graph}
    needs: dict[str, list[str]] = {}
    open_ = [graph.name]
    while open_:
        name = open_.pop()
        if name not in needs:
            needs[name] = [model for model in models_of(known[name]) if model in known]
            open_ += needs[name]
    path = [graph.name]
    return path if _leads_back(path, needs, set()) else []


def _leads_back(path: list[str], needs: Mapping[str, list[str]], dead: set[str]) -> bool:
    for name in needs[path[-1]]:
        if name == path[0]:
            path.append(name)
            return True
        if name not in path and name not in dead:
            path.append(name)
            if _leads_back(path, needs, dead):
                return True
            path.pop()
            dead.add(name)
    return False


def steps_of(node: graph_pb2.Node) -> list[tuple[str, graph_pb2.Step]]:
    """The steps of a node with the field each stands in: "", "members.NAME", "arms.NAME"."""
    if node.HasField("ensemble"):
        return [(f"members.{member.name}", member.step) for member in node.ensemble.members]
    if node.HasField("route"):
        return [(f"arms.{arm.name}", arm.step) for arm in node.route.arms]
    return [("", node.step)] if node.HasField("step") else []


def models_of(graph: graph_pb2.Graph) -> list[str]:
    """Names of all models, services and pipelines it may call."""
    found = {}
    for node in graph.nodes:
        for _, step in steps_of(node):
            found.update(dict.fromkeys((step.model, step.on_error.model)))
        found[node.ensemble.model] = None
    return [name for name in found if name]
