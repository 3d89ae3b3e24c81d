"""Calls members at once and combines what arrives: a late or dead member costs accuracy, not the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from grpc import StatusCode

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, NoReplica
from inferloom.services.composer.batcher import Timer, call_at
from inferloom.services.composer.run import Frame, Node
from inferloom.services.tensor import Tensor

__all__ = ["Answer", "EnsembleNode", "Member"]

_DEADLINE = StatusCode.DEADLINE_EXCEEDED
_THEIRS = StatusCode.INVALID_ARGUMENT


class Member(NamedTuple):
    """A member. `needs` are the nodes that not every member needs."""

    name: str
    node: Node
    slot: int  # where its node puts the output that is combined
    weight: float
    needs: tuple[int, ...]


class Answer(NamedTuple):
    """What a member gave: the output that is combined."""

    name: str
    tensor: Tensor
    weight: float


Combine = Callable[[Sequence[Answer], Frame], Awaitable[Mapping[str, Tensor]]]


class EnsembleNode:
    """A node that is an Ensemble.

    Args:
        needs: nodes that all of its members need.
        combine: makes the ensemble's outputs of the answers, which are in the members' order.
        quorum: members that must have answered.
        told: whether the pipeline names a quorum: without one a member's failure is the ensemble's.
        wait: seconds from the start of the first member; None: until the deadline.
    """

    def __init__(
        self,
        name: str,
        where: str,
        needs: tuple[int, ...],
        members: Sequence[Member],
        combine: Combine,
        outputs: tuple[tuple[str, int], ...],
        clock: Clock,
        *,
        quorum: int,
        told: bool,
        wait: float | None = None,
    ) -> None:
        self.name = name
        self.needs = needs
        self.where = where
        self.members = tuple(members)
        self.quorum = quorum
        self.told = told
        self.wait = wait
        self.clock = clock
        self._combine = combine
        self._outputs = outputs

    async def run(self, frame: Frame) -> None:
        gathering = _Gathering(self, frame)
        answers = await gathering.answers()
        gathering.note()
        if not answers:
            return
        found = await self._combine(answers, frame)
        for name, slot in self._outputs:
            frame.values[slot] = found[name]


class _Gathering:
    """One run: who has answered, who has failed, and whether that is enough."""

    __slots__ = ("_ensemble", "_frame", "_over", "_settled", "_tasks", "_timer", "answered", "failed", "late", "left")

    def __init__(self, ensemble: EnsembleNode, frame: Frame) -> None:
        self._ensemble = ensemble
        self._frame = frame
        self._settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._timer: Timer | None = None
        self._over = False
        self._tasks: list[asyncio.Task[None]] = []
        self.answered: dict[str, Tensor] = {}
        self.failed: dict[str, InferloomError | None] = {}  # None: skipped
        self.late: list[str] = []
        self.left = len(ensemble.members)

    async def answers(self) -> list[Answer]:
        """Those of a quorum at least; empty where members were skipped and none failed.

        Raises:
            InferloomError: a quorum cannot be reached.
            Poisoned: see status.py.
        """
        ensemble = self._ensemble
        self._tasks = [asyncio.create_task(self._member(member)) for member in ensemble.members]
        try:
            await self._settled
        finally:
            if self._timer is not None:
                self._timer.cancel()
            running = [task for task in self._tasks if not task.done()]
            for task in running:
                task.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)
        gone = self.answered.keys() | self.failed.keys()
        running_still = [member.name for member in ensemble.members if member.name not in gone]
        if len(self.answered) < ensemble.quorum:
            if all(error is None for error in self.failed.values()):
                return []
            raise self._lost(running_still)
        self.late += running_still
        found = self.answered
        return [Answer(m.name, found[m.name], m.weight) for m in ensemble.members if m.name in found]

    def note(self) -> None:
        """Say in the answer who answered, who was late and who failed."""
        name, notes = self._ensemble.name, self._frame.notes
        notes[f"{name}.answered"] = ",".join(m.name for m in self._ensemble.members if m.name in self.answered)
        if self.late:
            notes[f"{name}.late"] = ",".join(self.late)
        if failed := [each for each in self.failed if each not in self.late]:
            notes[f"{name}.failed"] = ",".join(failed)

    async def _member(self, member: Member) -> None:
        frame, ensemble = self._frame, self._ensemble
        try:
            if member.needs:
                await frame.need(member.needs)
            if self._timer is None and ensemble.wait is not None and not self._over:
                self._timer = call_at(ensemble.clock, ensemble.clock.now() + ensemble.wait, self._end_of_wait)
            await member.node.run(frame)
        except InferloomError as error:
            self.failed[member.name] = error
            if error.code is _DEADLINE:
                self.late.append(member.name)
        except Exception as error:  # Poisoned among them: the whole batch ends
            self._end(error)
            return
        else:
            tensor = frame.values[member.slot]
            if tensor is None:
                self.failed[member.name] = None
            else:
                self.answered[member.name] = tensor
        self.left -= 1
        self._look()

    def _look(self) -> None:
        """Whether it is settled: all have answered, a quorum is lost, or there is one and the wait is over."""
        have, quorum = len(self.answered), self._ensemble.quorum
        lost = have + self.left < quorum and any(error is not None for error in self.failed.values())
        if not self.left or lost or (self._over and have >= quorum):
            self._end()

    def _end_of_wait(self) -> None:
        self._over = True
        self._look()

    def _end(self, error: Exception | None = None) -> None:
        if not self._settled.done():
            if error is None:
                self._settled.set_result(None)
            else:
                self._settled.set_exception(error)

    def _lost(self, cancelled: list[str]) -> InferloomError:
        ensemble = self._ensemble
        errors = [error for error in self.failed.values() if error is not None]
        if errors and (not ensemble.told or all(error.code is _THEIRS for error in errors)):
            return errors[0]  # nobody asked for a quorum; or the request itself is wrong, and no member could answer
        parts = [f"answered {', '.join(self.answered) or 'nobody'}"]
        if self.late:
            parts.append(f"late {', '.join(self.late)}")
        if cancelled:
            parts.append(f"cancelled {', '.join(cancelled)}")
        for name, error in self.failed.items():
            if name not in self.late:
                parts.append(f"failed {name} ({error or 'skipped'})")
        count, most = ensemble.quorum, len(ensemble.members)
        return NoReplica(f"{ensemble.where}: no quorum of {count} of {most} members: {'; '.join(parts)}")
