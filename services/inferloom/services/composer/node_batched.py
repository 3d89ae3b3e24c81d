"""A unit of row-wise nodes, run once for the rows of all requests that have come for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence

from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.explain.story import Step
from inferloom.mesh.telemetry.tracing_span import child, tell
from inferloom.services.composer.batcher import Batcher, Member
from inferloom.services.composer.join import cut, join, rows_of
from inferloom.services.composer.run import Frame, Segment, execute
from inferloom.services.composer.status import Poisoned, again, at
from inferloom.services.composer.traced_batch import batch_span, failed, trace_of
from inferloom.services.tensor import Tensor

__all__ = ["BatchedNode"]

WAITED = 0.0005  # seconds in the queue that are told


class BatchedNode:
    """Runs a segment for batches of frames.

    Only requests of one datatype and shape (but for the rows), the same parameters and the same values of the metadata that
    a Split looks at are joined. A batch has the longest of their deadlines, and the trace of its first that is sampled: one
    call can belong to one trace only.

    Args:
        segment: the unit's nodes, which use the same slots as the graph around it.
        inputs, outputs: slots of what goes in and of what somebody wants of it.
        most: rows of a batch; 0: no bound.
        bound: names the model that sets it, for the message.
        units: the metadata keys that Splits of its models look at now.
    """

    def __init__(
        self,
        name: str,
        where: str,
        segment: Segment,
        needs: tuple[int, ...],
        inputs: Sequence[int],
        outputs: Sequence[int],
        clock: Clock,
        *,
        most: int = 0,
        bound: str = "",
        units: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.name = name
        self.needs = needs
        self.segment = segment
        self.batcher: Batcher[Frame] = Batcher(self._taken, most or 1 << 30, clock)
        self._clock = clock
        self._where = where
        self._unit = f"unit {name}"
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self.most = most
        self._bound = bound
        self._units = units

    async def run(self, frame: Frame) -> None:
        """As a node of the graph around it."""
        inner = Frame(self.segment, frame.values, frame.deadline, frame.metadata, frame.parameters)
        inner.notes, inner.steps = frame.notes, frame.steps
        began = self._clock.now()
        try:
            await self.submit(inner)
        except asyncio.CancelledError:
            frame.steps.append(Step(self.name, "batch", began, self._clock.now(), code="CANCELLED"))
            raise

    async def submit(self, frame: Frame) -> None:
        """Run the segment for this frame, joined with others where there are any.

        Raises:
            InferloomError: of a node; names pipeline, node and model.
        """
        values = frame.values
        inputs = [values[slot] for slot in self._inputs]
        present = [value for value in inputs if value is not None]
        rows = rows_of(present)
        if rows is None:
            await execute(self.segment, frame)
            return
        if self.most and rows > self.most:
            raise InvalidInput(f"{self._where}: {rows} rows; {self._bound} takes at most {self.most} at once")
        with child(self._unit) as span:
            frame.span = span
            await self._submitted(frame, rows, inputs)

    async def _submitted(self, frame: Frame, rows: int, inputs: Sequence[Tensor | None]) -> None:
        key: Hashable = (
            tuple([value and (value[0], value[1][1:]) for value in inputs]),
            frame.parameters,
            self._kept(frame.metadata),
        )
        await self.batcher.submit(key, Member(frame, rows, frame.deadline, self._where))

    def _kept(self, metadata: Metadata) -> Metadata:
        """What decides about splits: requests that differ in it are never joined."""
        units = self._units()
        return tuple([pair for pair in metadata if pair[0] in units]) if units else ()

    async def _taken(self, members: Sequence[Member[Frame]]) -> None:
        """A batch goes out: say who has waited for it."""
        now = self._clock.now()
        for member in members:
            if now - member.came > WAITED:
                member.load.steps.append(Step(self.name, "batch", member.came, now, rows=member.rows))
        await self._batch(members)

    async def _batch(self, members: Sequence[Member[Frame]]) -> None:
        with batch_span(self.name, members):
            if len(members) == 1:
                await self._alone(members[0])
            else:
                await self._together(members)

    async def _together(self, members: Sequence[Member[Frame]]) -> None:
        joined = self._joined(members)
        try:
            await execute(self.segment, joined)
        except Poisoned as poisoned:
            tell(halved=True)
            _share(joined, members)
            await self._bisect(members, poisoned)
            return
        except InferloomError as error:
            failed(error)
            _share(joined, members)
            for member in members:
                member.done(again(error))
            return
        try:
            self._give(joined, members)
        except InvalidInput as error:
            raise at(InferloomError(str(error)), self._where) from error

    async def _alone(self, member: Member[Frame]) -> None:
        frame = member.load
        frame.rows, frame.shared = member.rows, False
        try:
            await execute(self.segment, frame)
        except InferloomError as error:
            failed(error)
            member.done(error)
        else:
            member.done()

    async def _bisect(self, members: Sequence[Member[Frame]], poisoned: Poisoned) -> None:
        """Ask again in two halves: the one without the bad row is answered, the other halved in its turn."""
        middle = len(members) // 2
        for half in (members[:middle], members[middle:]):
            waiting = [member for member in half if not member.future.done()]
            if waiting:
                await self._batch(waiting)

    def _joined(self, members: Sequence[Member[Frame]]) -> Frame:
        frames = [member.load for member in members]
        first = frames[0]
        rows = sum([member.rows for member in members])
        values: list[Tensor | None] = [None] * len(first.values)
        for slot in self._inputs:
            if first.values[slot] is not None:
                values[slot] = join([frame.values[slot] for frame in frames], rows)  # type: ignore[misc]
        deadline = max([member.deadline for member in members])
        trace = trace_of(frames)
        frame = Frame(self.segment, values, deadline, trace + self._kept(first.metadata), first.parameters)
        frame.rows, frame.shared, frame.requests = rows, True, len(members)
        return frame

    def _give(self, joined: Frame, members: Sequence[Member[Frame]]) -> None:
        _share(joined, members)
        sizes = [member.rows for member in members]
        pieces = []
        for slot in self._outputs:
            value = joined.values[slot]
            pieces.append((slot, [None] * len(sizes) if value is None else cut(value, sizes)))
        for place, member in enumerate(members):
            frame = member.load
            for slot, parts in pieces:
                frame.values[slot] = parts[place]
            if joined.notes:
                frame.notes.update(joined.notes)
            member.done()


def _share(joined: Frame, members: Sequence[Member[Frame]]) -> None:
    """What a batch went through is told of each request in it."""
    for member in members:
        member.load.steps += joined.steps
