"""What a process remembers of its requests: the last that failed, were slow or asked, and the pace of each model."""

from __future__ import annotations

import random
from collections.abc import Callable, Set
from typing import NamedTuple

from grpc import StatusCode

from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import status_of
from inferloom.mesh.explain.line import line
from inferloom.mesh.explain.pace import INFINITY, Pace
from inferloom.mesh.explain.recent import Recent, Told
from inferloom.mesh.explain.story import ID_KEY, KEY, LEFT, Story
from inferloom.mesh.explain.telling import tell

__all__ = ["Asked", "Explainer"]

REQUEST_ID = "x-request-id"
LONGEST_ID, LONGEST = 200, 500  # characters of an id, and of an error's message
MODELS = 2000  # whose pace is kept
MOST_A_SECOND = 100  # requests that are kept although nobody asked


class Asked(NamedTuple):
    """What was asked of whom."""

    model: str
    version: str
    method: str
    metadata: Metadata


class Explainer:
    """Keeps what `inferloom explain` and `inferloom top` show.

    Args:
        rng: draws the ids of requests that have none.
        process: its name in what it tells.
        objective: seconds within which a model promises to answer; None: it promises nothing.

    Attributes:
        paces: by model; those that were made last where there are too many.
        edges: by id, those whose answers are in the paces.
    """

    def __init__(
        self,
        clock: Clock,
        rng: random.Random,
        process: str,
        objective: Callable[[str], float | None] = lambda model: None,
    ) -> None:
        self.process = process
        self.recent = Recent()
        self.paces: dict[str, Pace] = {}
        self.edges: Set[str] = frozenset()
        self.now = clock.now
        self._clock = clock
        self._rng = rng
        self._objective = objective
        self._second = self._kept = 0  # kept in this second of the clock

    def pace(self, model: str) -> Pace:
        """Of a model, service or pipeline that is there: names that nobody serves are not to come here."""
        pace = self.paces.get(model)
        if pace is None:
            if len(self.paces) >= MODELS:
                self.paces.pop(next(iter(self.paces)))
            pace = self.paces[model] = Pace(self.now(), lambda: self._objective(model))
        return pace

    def keeps(self, story: Story) -> bool:
        """Whether there is room for one more: always for who asks; of others so many a second that overload, when everything
        fails, costs no more than it must. More would push each other out at once."""
        return story.asked or self.room()

    def room(self) -> bool:
        """Whether one more is kept of this second's requests that nobody asked about."""
        second = int(self.now())
        if second != self._second:
            self._second, self._kept = second, 0
        self._kept += 1
        return self._kept <= MOST_A_SECOND

    @property
    def full(self) -> bool:
        """Whether there is no room in this second."""
        return self._kept >= MOST_A_SECOND and int(self.now()) == self._second

    def answered(self, story: Story, asked: Asked, trailing: Metadata, own_id: Callable[[], str]) -> None:
        """It was answered, and asked to be explained or was slow.

        Args:
            trailing: of the answer: a host within may have given an id.
            own_id: reads the id in the message; "": it has none.
        """
        told = self._keep(story, asked, "OK", "", "asked" if story.asked else "slow", trailing, own_id)
        story.trailing = ((KEY, line(told)),) if story.asked else ((ID_KEY, told["request_id"]),)

    def failed(
        self, story: Story, asked: Asked, error: BaseException, own_id: Callable[[], str], *, left: bool = False
    ) -> None:
        """It failed.

        Args:
            left: the caller went away.
        """
        if left:
            self._keep(story, asked, StatusCode.CANCELLED.name, LEFT, "failed", (), own_id)
            return
        status = status_of(error)
        told = self._keep(story, asked, status.code.name, status.message, "failed", status.trailing, own_id)
        story.trailing = ((ID_KEY, told["request_id"]),)
        if story.asked:
            story.trailing += ((KEY, line(told)),)

    def named(self, request_id: str) -> str:
        """The id, cut; one that is drawn where there is none."""
        return request_id[:LONGEST_ID] or f"{self._rng.getrandbits(64):016x}"

    def _keep(
        self,
        story: Story,
        asked: Asked,
        code: str,
        message: str,
        kind: str,
        trailing: Metadata,
        own_id: Callable[[], str],
    ) -> Told:
        ended = self.now()
        metadata = dict(asked.metadata)
        request_id = _text(metadata.get(REQUEST_ID)) or own_id() or _text(dict(trailing).get(ID_KEY))
        told: Told = {
            "request_id": self.named(request_id),
            "model": asked.model,
            "version": asked.version,
            "method": asked.method.rpartition("/")[2],
            "code": code,
            "kind": kind,
            "time": round(self._clock.wall() - (ended - story.began), 6),
            "process": self.process,
        }
        if message:
            told["message"] = message[:LONGEST]
        parent = _text(metadata.get("traceparent")).split("-")
        if len(parent) == 4:
            told["trace_id"] = parent[1]
        pace = self.paces.get(asked.model)
        if pace is not None and pace.limit != INFINITY:
            told["slow_over_ms"] = round(1e3 * pace.limit, 3)
        told |= tell(story, ended)
        self.recent.add(told)
        return told


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
