"""What has run through a pipeline: through each node, and along each edge between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferloom.mesh.explain.story import Step
from inferloom.services.composer.checked import Checked
from inferloom.v1.explain_pb2 import PipelineFigures

__all__ = ["INPUT", "OUTPUT", "Flow", "edges_of"]

INPUT, OUTPUT = "input", "output"
WAIT = "batch"  # what a step calls that waits for its turn
FINE = ("OK", "CANCELLED")  # what an ensemble no longer waits for has not failed


class _Node:
    __slots__ = ("batches", "failed", "late", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = self.failed = self.late = 0
        self.seconds = self.batches = 0.0


class Flow:
    """Counts of one pipeline, since the process began to serve it.

    Attributes:
        edges: `(source, target)`: nodes, or the pipeline's "input" and "output".
    """

    def __init__(self) -> None:
        self.edges: tuple[tuple[str, str], ...] = ()
        self.requests = 0
        self.failed = 0
        self._nodes: dict[str, _Node] = {}

    def add(self, steps: Iterable[Step], notes: Mapping[str, str], *, failed: bool) -> None:
        """A request has ended, and these steps have run for it."""
        self.requests += 1
        self.failed += failed
        runs: dict[str, list[Step]] = {}
        for step in steps:
            if step.calls != WAIT:
                runs.setdefault(step.name.partition(".")[0], []).append(step)
        for name, parts in runs.items():
            node = self._node(name)
            node.requests += 1
            node.failed += any(part.code not in FINE for part in parts)
            node.seconds += max([part.ended for part in parts]) - min([part.began for part in parts])
            node.batches += sum([1 / part.requests for part in parts]) / len(parts)
        for key, members in notes.items():
            if key.endswith(".late"):
                self._node(key.removesuffix(".late")).late += members.count(",") + 1

    def message(self, name: str) -> PipelineFigures:
        """As it is told; of an edge as many as its target ran for."""
        message = PipelineFigures(name=name, requests=self.requests, failed=self.failed)
        for key, node in self._nodes.items():
            message.nodes.add(name=key, **{field: getattr(node, field) for field in _Node.__slots__})
        for source, target in self.edges:
            count = self.requests - self.failed if target == OUTPUT else self._node(target).requests
            message.edges.add(source=source, target=target, requests=count)
        return message

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            node = self._nodes[name] = _Node()
        return node


def edges_of(checked: Checked) -> tuple[tuple[str, str], ...]:
    """In the order in which the nodes run."""
    found: dict[tuple[str, str], None] = {}
    for node in checked.nodes.values():
        uses = [node.step] if node.step is not None else [*node.members.values(), *node.arms.values()]
        references = [reference for use in uses for reference in use.inputs.values()]
        references += [*node.rules.values(), *([node.decides] if node.decides is not None else [])]
        for reference in references:
            found[INPUT if reference.is_input else reference.node, node.name] = None
    for reference in checked.outputs.values():
        found[INPUT if reference.is_input else reference.node, OUTPUT] = None
    return tuple(found)
