"""One run of a step, told in the frame it ran in."""

from __future__ import annotations

import asyncio
from types import TracebackType

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import status_of
from inferloom.mesh.explain.story import ASKED, Step, Story, current_story
from inferloom.services.composer.run import Frame
from inferloom.services.composer.status import Poisoned

__all__ = ["telling"]


class telling:  # noqa: N801
    """A block that runs a step: the router's attempts within it belong to the step.

    Args:
        name: "node", or "node.member".
        calls: "model 'svm'".
    """

    __slots__ = ("_calls", "_frame", "_name", "_now", "_story", "_token")

    def __init__(self, frame: Frame, name: str, calls: str, clock: Clock) -> None:
        self._frame = frame
        self._name = name
        self._calls = calls
        self._now = clock.now

    def __enter__(self) -> None:
        self._story = Story(self._now(), asked=ASKED in self._frame.metadata)
        self._token = current_story.set(self._story)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        current_story.reset(self._token)
        frame, story = self._frame, self._story
        step = Step(self._name, self._calls, story.began, self._now(), story, rows=frame.rows, requests=frame.requests)
        if error is not None:
            step.code, step.why = _why(error)
        frame.steps.append(step)


def _why(error: BaseException) -> tuple[str, str]:
    if isinstance(error, Poisoned):
        error = error.error
    if isinstance(error, asyncio.CancelledError):
        return "CANCELLED", ""
    return status_of(error).code.name, str(error)
