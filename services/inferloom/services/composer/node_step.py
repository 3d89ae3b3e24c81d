"""One use of a callee as it runs: gathers its inputs, bounds its time, repeats it, and does what `on_error` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from grpc import StatusCode

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import DeadlineExceeded, InferloomError
from inferloom.services.composer.counts import NodeCounts
from inferloom.services.composer.join import repeat, rows_of
from inferloom.services.composer.run import Frame
from inferloom.services.composer.status import Poisoned, at, is_poison
from inferloom.services.composer.telling import telling
from inferloom.services.tensor import Tensor, Tensors

__all__ = ["Action", "Callee", "Passing", "StepNode", "Wire"]

_INFINITY = float("inf")
_OK = StatusCode.OK
_REPEATED = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.DATA_LOSS,
    }
)
Wire = tuple[str, int, bool]  # the callee's input, the slot its value comes from, whether it may be left out


class Callee(Protocol):
    """A model, a Python function, or nothing at all."""

    label: str  # "model 'digits'": for messages

    async def call(self, tensors: Tensors, frame: Frame, deadline: float) -> Tensors:
        """Its outputs by name. Raises InferloomError."""

    def repeatable(self) -> bool:
        """Whether it may be asked once more although it may have begun."""

    def spend(self, now: float) -> bool:
        """Take the price of one more call from its retry budget."""


class Passing:
    """Its outputs are its inputs."""

    label = "pass"

    async def call(self, tensors: Tensors, frame: Frame, deadline: float) -> Tensors:
        return tensors

    def repeatable(self) -> bool:
        return False

    def spend(self, now: float) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Action:
    """A Step of the graph: a node's own, a member's or an arm's."""

    note: str  # "node" or "node.member": key of its notes
    where: str  # "pipeline 'digits', node 'svm'"
    callee: Callee
    wires: tuple[Wire, ...]
    clock: Clock
    constants: Mapping[str, Tensor] = field(default_factory=dict)  # where the callee is row-wise: one row of each
    rows: bool = False  # whether the callee is row-wise
    timeout: float = _INFINITY  # seconds
    attempts: int = 1
    fallback: Tensors | None = None  # instead of its outputs, where it fails; where the callee is row-wise: one row
    other: Callee | None = None  # is asked instead, where it fails
    skip: bool = False  # it gives nothing where it fails
    needs: tuple[int, ...] = ()  # places of the nodes its inputs come from
    counts: NodeCounts = field(default_factory=NodeCounts)

    async def run(self, frame: Frame, bound: float = _INFINITY) -> Tensors | None:
        """As `_run`; and the frame's steps tell of it."""
        with telling(frame, self.note, self.callee.label, self.clock):
            return await self._run(frame, bound)

    async def _run(self, frame: Frame, bound: float) -> Tensors | None:
        """Its outputs; None where it was skipped.

        Args:
            bound: no later than then, absolute.

        Raises:
            InferloomError: it failed, and nothing was said for that case; names pipeline, node and model.
            Poisoned: it failed for what may be the fault of one of several callers.
        """
        values = frame.values
        tensors: dict[str, Tensor] = {}
        for name, slot, optional in self.wires:
            value = values[slot]
            if value is not None:
                tensors[name] = value
            elif not optional:
                return None
        if self.constants:
            rows = self._rows(frame, tensors)
            for name, value in self.constants.items():
                tensors[name] = repeat(value, rows) if rows else value
        began, code = self.clock.now(), None
        try:
            try:
                found: Tensors | None = await self.callee.call(tensors, frame, self._deadline(frame, bound))
            except InferloomError as error:
                failed = error
            else:
                code = _OK
                return found
            found = await self._failed(failed, tensors, frame, bound)
            code = _OK
            return found
        except InferloomError as error:
            code = error.code
            raise
        except Poisoned as poisoned:
            code = poisoned.error.code
            raise
        finally:
            self.counts.add(code, self.clock.now() - began)

    def _deadline(self, frame: Frame, bound: float) -> float:
        deadline = min(frame.deadline, bound)
        return deadline if self.timeout == _INFINITY else min(deadline, self.clock.now() + self.timeout)

    def _rows(self, frame: Frame, tensors: Tensors) -> int:
        return (frame.rows or rows_of(tensors.values()) or 1) if self.rows else 0

    async def _failed(self, error: InferloomError, tensors: Tensors, frame: Frame, bound: float) -> Tensors | None:
        for _ in range(1, self.attempts):
            now = self.clock.now()
            if not self._repeats(error) or now >= min(frame.deadline, bound) or not self.callee.spend(now):
                break
            try:
                return await self.callee.call(tensors, frame, self._deadline(frame, bound))
            except InferloomError as again:
                error = again
        named = at(error, f"{self.where}: {self.callee.label}")
        now = self.clock.now()
        if frame.shared and is_poison(error) and self.callee.spend(now) and self.callee.spend(now):
            raise Poisoned(named) from error  # two halves are asked in place of this one
        if now >= frame.deadline:
            raise DeadlineExceeded(f"{self.where}: {self.callee.label}: the pipeline's deadline passed") from error
        if self.skip:
            frame.notes[f"{self.note}.skipped"] = str(named)
            self.counts.stood_in += 1
            return None
        if self.fallback is not None:
            frame.notes[f"{self.note}.fallback"] = "value"
            self.counts.stood_in += 1
            rows = self._rows(frame, tensors)
            return {name: repeat(value, rows) if rows else value for name, value in self.fallback.items()}
        if self.other is not None:
            frame.notes[f"{self.note}.fallback"] = self.other.label
            try:
                found = await self.other.call(tensors, frame, min(frame.deadline, bound))
                self.counts.stood_in += 1
                return found
            except InferloomError as second:
                raise at(second, f"{self.where}: {self.other.label}, the fallback of {self.callee.label}") from error
        raise named from error

    def _repeats(self, error: InferloomError) -> bool:
        return error.code in _REPEATED and self.callee.repeatable()


class StepNode:
    """A node that is a Step.

    Args:
        outputs: name and slot of those that somebody wants.
    """

    def __init__(self, name: str, action: Action, outputs: tuple[tuple[str, int], ...]) -> None:
        self.name = name
        self.action = action
        self.needs = action.needs
        self._outputs = outputs

    async def run(self, frame: Frame) -> None:
        found = await self.action.run(frame)
        if found is not None:
            store(found, self._outputs, frame, self.action)


def store(found: Tensors, outputs: tuple[tuple[str, int], ...], frame: Frame, action: Action) -> None:
    """Put outputs into their slots. One that is missing is the callee's fault where it has no fallback for it."""
    values = frame.values
    for name, slot in outputs:
        values[slot] = found.get(name)
        if values[slot] is None and not isinstance(action.callee, Passing):
            raise InferloomError(f"{action.where}: {action.callee.label} answered without its output '{name}'")
