"""Spans of a pipeline: one for each node, member and arm that runs, and one for what combines an ensemble's answers.

Only plans that are made while the process is traced have them; others pay nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inferloom.mesh.telemetry.tracing_span import child
from inferloom.services.composer.node_ensemble import Answer, Combine
from inferloom.services.composer.run import Frame, Node
from inferloom.services.tensor import Tensor

__all__ = ["TracedNode", "traced_combine"]


class TracedNode:
    """A node with a span around it.

    Args:
        kind: "node", "member" or "arm".
        note: how the notes about it begin; what they say becomes attributes (`arm`, `answered`, `late`, `failed`, ...).
    """

    def __init__(self, kind: str, name: str, node: Node, note: str) -> None:
        self.name = name
        self.needs = node.needs
        self._node = node
        self._span = f"{kind} {name}"
        self._note = f"{note}."

    async def run(self, frame: Frame) -> None:
        with child(self._span) as span:
            try:
                await self._node.run(frame)
            finally:
                if span is not None and frame.notes:
                    told = {k.removeprefix(self._note): v for k, v in frame.notes.items() if k.startswith(self._note)}
                    span.set(**{key: value for key, value in told.items() if "." not in key})


def traced_combine(how: str, combine: Combine) -> Combine:
    """The same with a span around it, which says how many have answered."""

    async def traced(answers: Sequence[Answer], frame: Frame) -> Mapping[str, Tensor]:
        with child(f"combine {how}", attributes={"inferloom.members": len(answers)}):
            return await combine(answers, frame)

    return traced
