"""The split layer: a request that names no version gets the one of its arm.

The unit comes from the caller's metadata, so the same key travels on to hosts, and calls inside a service or pipeline split
by the same unit. Without one a sequence stays together, and every other request is drawn for itself. Where nobody serves
the arm, the biggest arm that is served stands in: a split costs nobody an answer.
"""

from __future__ import annotations

import random
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple

import structlog

from inferloom.mesh.call import Call, Handler, Metadata, Reply
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput, ModelNotFound, NoReplica, status_of
from inferloom.mesh.explain.story import current_story
from inferloom.mesh.follower import Follower
from inferloom.mesh.oip import CALL, MODEL_INFER
from inferloom.mesh.registry.base import Document, DocumentKey, Documents
from inferloom.mesh.router.admission import Admission
from inferloom.mesh.router.endpoint import may_serve
from inferloom.mesh.router.live_split import LiveSplit, aimed
from inferloom.mesh.router.mirror import MARK, Mirrors
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.router.transport import Lost
from inferloom.mesh.split import KIND, Arm, Assignment, Split
from inferloom.mesh.splits.exposure import Exposure, Exposures
from inferloom.mesh.telemetry.metrics_series import Durations
from inferloom.mesh.telemetry.tracing_span import tell
from inferloom.mesh.wire import string_field

__all__ = ["Splitting", "Turn"]

log = structlog.get_logger(__name__)

METHODS = frozenset({MODEL_INFER.path, CALL.path})  # what is asked about a model is not split
REQUEST_ID = (3,)  # ModelInferRequest.id
REQUEST_ID_KEY = "x-request-id"  # metadata of requests whose message has no id


class Turn(NamedTuple):
    """Where a request of a split goes."""

    live: LiveSplit
    assignment: Assignment
    arm: Arm  # the one it is sent to


class Splitting:
    """Follows the documents of splits and sends each request where it belongs.

    Attributes:
        splits: those in force, by model.
        problems: why the newest document of a name is not in force.
        lag: seconds from the writing of documents until they were in force here; not of those that were there at start.
        routes: splits inside pipelines, "PIPELINE.NODE"; a composer in this process puts them here, for their figures.
    """

    def __init__(
        self, pool: Pool, admission: Admission, clock: Clock, rng: random.Random, exposures: Exposures
    ) -> None:
        self.splits: dict[str, LiveSplit] = {}
        self.problems: dict[str, str] = {}
        self.routes: dict[str, LiveSplit] = {}
        self.lag = Durations()
        self.exposures = exposures
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._mirrors = Mirrors(pool, admission, clock, rng)
        self._seen: dict[str, Document] = {}
        self._follower = Follower(KIND, self.apply, clock, "requests go to the oldest versions")

    async def start(self, documents: Documents) -> None:
        """Follow the documents. Returns when the first have been applied, or do not come."""
        await self._follower.start(documents)

    async def close(self) -> None:
        await self._follower.close()
        await self._mirrors.close()

    def apply(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Have these in force. A bad one changes nothing: the last good one stays, and the problem is told."""
        present = {name: document for (kind, name), document in documents.items() if kind == KIND}
        for name in self._seen.keys() - present.keys():
            self.splits.pop(name, None)
            self.problems.pop(name, None)
        for name, document in present.items():
            if self._seen.get(name) is document or document.spec is None:
                continue
            try:
                split = Split.from_json(name, document.spec)
            except InvalidInput as error:
                self.problems[name] = f"version {document.version}: {error}"
                kept = self.splits.get(name)
                log.error("split refused", split=name, version=document.version, error=str(error), kept=kept)
                continue
            self.problems.pop(name, None)
            if self._follower.began:
                self.lag.add(max(0.0, self._clock.wall() - document.time))
            if (live := self.splits.get(name)) is not None:
                live.follow(split, document.version)
            else:
                self.splits[name] = LiveSplit(split, document.version, self._clock.wall())
        self._seen = present

    def layer(self, inner: Handler) -> Handler:
        """Between admission and retries. A model without a split pays for one look into a dict."""
        splits = self.splits

        def split(call: Call) -> Coroutine[Any, Any, Reply]:
            live = splits.get(call.model)
            if live is None or call.version or call.method not in METHODS:
                return inner(call)
            return self._split(live, call, inner)

        return split

    def turn(self, model: str, metadata: Metadata, affinity: bytes | None) -> Turn | None:
        """Where a request goes that names no version; None where the model has no split.

        Raises:
            NoReplica: nobody serves any of the arms.
        """
        live = self.splits.get(model)
        if live is None:
            return None
        assignment = live.split.assign(_value(metadata, live.split.by) or affinity, self._rng.random())
        arm = self._served(live, assignment.arm, ())
        if arm is None:
            raise self._nobody(live)
        return Turn(live, assignment, arm)

    def serves(self, split: Split, arm: Arm) -> bool:
        """Whether a replica can be asked for it now."""
        group = self._pool.groups.get(arm.model or split.name)
        version = arm.target_version
        return group is not None and any(
            endpoint.replica.usable
            and endpoint.health.reachable
            and (not version or may_serve(endpoint.replica, version))
            for endpoint in group.endpoints.values()
        )

    def expose(
        self, turn: Turn, request_id: str, metadata: Metadata, mirrored: tuple[str, ...], code: str, began: float
    ) -> None:
        """Record a request that has ended, where anybody wants to know."""
        if not self.exposures.sinks or MARK in metadata:
            return
        seconds = self._clock.now() - began
        assignment = turn.assignment
        self.exposures.record(
            Exposure(
                turn.live.split.name,
                f"{assignment.point:016x}" if assignment.sticky else "",
                assignment.arm.name,
                turn.arm.name,
                assignment.propensity,
                assignment.override,
                self._clock.wall() - seconds,
                request_id or _text(_value(metadata, REQUEST_ID_KEY)),
                mirrored,
                code,
                seconds,
            )
        )

    async def _split(self, live: LiveSplit, call: Call, inner: Handler) -> Reply:
        began = self._clock.now()
        turn = self.turn(call.model, call.metadata, call.affinity)
        assert turn is not None
        request_id = ""
        if call.method == MODEL_INFER.path and (live.split.mirrors or self.exposures.sinks):
            request_id = _text(string_field(call.payload, REQUEST_ID))
        copies = self._mirrors.start(live, call, request_id) if live.split.mirrors else ()
        code, reply, inside = "CANCELLED", None, 0.0
        tried: list[Arm] = []
        try:
            while True:
                asked = self._clock.now()
                tell(arm=turn.arm.name)
                if (story := current_story.get()) is not None:
                    story.split, story.arm = live.split.name, turn.arm.name
                try:
                    reply = await inner(aimed(call, turn.arm))
                    code = "OK"
                    return reply
                except (NoReplica, ModelNotFound, Lost) as error:
                    tried.append(turn.arm)
                    other = self._served(live, None, tried) if _unseen(error) else None
                    if other is None:
                        raise
                    turn = turn._replace(arm=other)
                finally:
                    inside += self._clock.now() - asked
        except Exception as error:
            code = status_of(error).code.name
            raise
        finally:
            seconds = self._clock.now() - began
            self._pool.layers(call.model).split += seconds - inside
            if MARK not in call.metadata:  # a mirror's copy is shown to nobody
                self.count(turn, code, seconds)
            for copy in copies:
                if code == "CANCELLED" and reply is None:
                    copy.drop()
                else:
                    copy.ended(reply.payload if reply is not None else None, seconds)
            self.expose(turn, request_id, call.metadata, tuple(copy.arm.name for copy in copies), code, began)

    def count(self, turn: Turn, code: str, seconds: float) -> None:
        """A request of an arm has ended."""
        figures = turn.live.figures.of(turn.arm)
        figures.finished(code, seconds)
        figures.overridden += turn.assignment.override
        figures.stood_in += turn.arm.name != turn.assignment.arm.name

    def seen(self, exposure: Exposure) -> None:
        """A request of a split has ended that another process sent to its arm. What is of another version of the split, whose
        arms are not known here, is only exposed."""
        live = self.splits.get(exposure.split)
        arms = {arm.name: arm for arm in live.split.arms} if live is not None else {}
        if live is not None and exposure.served in arms:
            figures = live.figures.of(arms[exposure.served])
            figures.finished(exposure.code, exposure.seconds)
            figures.overridden += exposure.override
            figures.stood_in += exposure.served != exposure.arm
        self.exposures.record(exposure)

    def _served(self, live: LiveSplit, arm: Arm | None, tried: list[Arm] | tuple[()]) -> Arm | None:
        """The arm itself where it is served, else the biggest other one that is."""
        if arm is not None and self.serves(live.split, arm):
            return arm
        return next((a for a in live.split.shared if a not in tried and self.serves(live.split, a)), None)

    def _nobody(self, live: LiveSplit) -> NoReplica:
        split = live.split
        arms = ", ".join(arm.name for arm in split.shared)
        group = self._pool.groups.get(split.name)
        if group is None:
            raise ModelNotFound(split.name, self._pool.catalog.near(split.name))
        why = group.explain(self._clock.now())
        have = ", ".join(group.model.versions) or "none"
        return NoReplica(
            f"split '{split.name}': none of its arms ({arms}) can be asked; versions served: {have}; {why}"
        )


def _unseen(error: InferloomError) -> bool:
    """Whether it is certain that no replica saw the request: then another arm may, whatever the model says of repeats."""
    return not (isinstance(error, Lost) and error.sent)


def _value(metadata: Metadata, key: str) -> str | bytes | None:
    if key:
        for name, value in metadata:
            if name == key:
                return value
    return None


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
