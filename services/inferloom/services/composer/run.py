"""Runs the nodes of a graph on demand: each as soon as what it needs is there, none that nobody needs.

A chain is awaited in place, without a task. Where a node needs several that are not there yet, each gets a task; one that
several need gets a task of its own too, so that it outlives any one of them. The first failure that nobody handles ends the
run and cancels the rest, down to the replicas, as does the caller who goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from inferloom.mesh.call import Metadata
from inferloom.mesh.explain.story import Step
from inferloom.mesh.telemetry.tracing_span import Span
from inferloom.services.tensor import Tensor

__all__ = ["Frame", "Node", "Segment", "execute"]


class Node(Protocol):
    """Reads its inputs from the frame and writes its outputs there (None: skipped)."""

    name: str

    @property
    def needs(self) -> tuple[int, ...]:
        """Places of the nodes that have run before this one starts."""

    async def run(self, frame: Frame) -> None: ...


class Segment:
    """A graph, or the part of one that is batched as a unit.

    Args:
        nodes: in an order in which each comes after those it needs.
        targets: places of those whose outputs are wanted.
        shared: for each node, whether more than one may ask for it.
    """

    __slots__ = ("chain", "nodes", "shared", "targets")

    def __init__(self, nodes: Sequence[Node], targets: Sequence[int], shared: Sequence[bool]) -> None:
        self.nodes = tuple(nodes)
        self.targets = tuple(targets)
        self.shared = tuple(shared)
        last = len(self.nodes) - 1
        linked = all(place in self.nodes[place + 1].needs for place in range(last))
        self.chain = linked and last in self.targets  # then all are needed, one after the other


class Frame:
    """One run of a segment: the values so far, and what its nodes share.

    Attributes:
        values: by slot (see plan.py); None: not there yet, or skipped.
        deadline: absolute, on the Clock.
        metadata: travels with every call.
        parameters: of the request, serialised as fields of a ModelInferRequest.
        notes: what happened (`votes.late`), for the answer's parameters.
        rows: of a batch; 0 where the run is not a batch.
        shared: whether the rows belong to more than one caller.
        requests: of how many they are.
        steps: those that have run, for explanations.
        span: of the request's wait for a batch, where it is traced.
    """

    __slots__ = (
        "_tasks", "deadline", "done", "metadata", "notes", "parameters", "requests", "rows", "segment", "shared", "span",
        "steps", "values",
    )  # fmt: skip

    def __init__(
        self,
        segment: Segment,
        values: list[Tensor | None],
        deadline: float,
        metadata: Metadata = (),
        parameters: bytes = b"",
    ) -> None:
        self.segment = segment
        self.values = values
        self.deadline = deadline
        self.metadata = metadata
        self.parameters = parameters
        self.notes: dict[str, str] = {}
        self.rows = 0
        self.shared = False
        self.requests = 1
        self.steps: list[Step] = []
        self.span: Span | None = None
        self.done = bytearray()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def copy(self, metadata: Metadata) -> Frame:
        """Another run from what is there now: what happens in it is not seen here."""
        other = Frame(self.segment, list(self.values), self.deadline, metadata, self.parameters)
        other.done, other.rows, other.shared = bytearray(self.done), self.rows, self.shared
        return other

    async def need(self, places: Iterable[int]) -> None:
        """Return when these nodes have run. Raises what the first of them to fail raised."""
        done = self.done
        missing = [place for place in places if not done[place]]
        if not missing:
            return
        if len(missing) == 1:
            await self._one(missing[0])
        else:
            await self._several(missing)

    async def _one(self, place: int) -> None:
        shared, nodes, done = self.segment.shared, self.segment.nodes, self.done
        if shared[place]:
            await self._several([place])
            return
        chain = [place]
        missing = [each for each in nodes[place].needs if not done[each]]
        while len(missing) == 1 and not shared[missing[0]]:
            chain.append(missing[0])
            missing = [each for each in nodes[missing[0]].needs if not done[each]]
        if missing:
            await self.need(missing)
        for each in reversed(chain):
            await nodes[each].run(self)
            done[each] = 1

    async def _several(self, places: Sequence[int]) -> None:
        tasks = [self._task(place) for place in places]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            shared = self.segment.shared
            own = [t for p, t in zip(places, tasks, strict=True) if not shared[p] and not t.done()]
            await _end(own)

    def _task(self, place: int) -> asyncio.Task[None]:
        task = self._tasks.get(place)
        if task is None:
            task = self._tasks[place] = asyncio.create_task(self._alone(place))
        return task

    async def _alone(self, place: int) -> None:
        node = self.segment.nodes[place]
        await self.need(node.needs)
        await node.run(self)
        self.done[place] = 1

    async def close(self) -> None:
        """End what nobody needs any more."""
        if self._tasks:
            await _end(self._tasks.values())


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel them and see them end; what they raise is of no interest any more."""
    running = []
    for task in tasks:
        if not task.done():
            task.cancel()
            running.append(task)
        elif not task.cancelled():
            task.exception()
    if running:
        await asyncio.gather(*running, return_exceptions=True)


async def execute(segment: Segment, frame: Frame) -> None:
    """Run what its targets need.

    Raises:
        InferloomError: the first failure that no node handled; everything else has been cancelled.
    """
    if segment.chain:
        frame.done = bytearray(b"\1") * len(segment.nodes)
        for node in segment.nodes:
            await node.run(frame)
        return
    frame.done = bytearray(len(segment.nodes))
    try:
        await frame.need(segment.targets)
    finally:
        await frame.close()
