"""The outermost layer: has a story told of each request, and keeps those that failed, were slow or asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from inferloom.mesh.call import Call, Handler, Metadata, Reply
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.explain.explainer import Asked, Explainer
from inferloom.mesh.explain.pace import Pace
from inferloom.mesh.explain.story import ASKED, KEY, Story, current_story
from inferloom.mesh.oip import MODEL_INFER
from inferloom.mesh.router.passed_over import passed_over
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.wire import string_field

__all__ = ["Explaining"]

REQUEST_ID = (3,)  # ModelInferRequest.id


class Explaining:
    """Knows the replicas, for what was passed over.

    Args:
        zone: of this process.
    """

    def __init__(self, explainer: Explainer, pool: Pool, zone: str = "") -> None:
        self.explainer = explainer
        self._pool = pool
        self._zone = zone

    def layer(self, inner: Handler) -> Handler:
        """A call inside of a request whose story is being told already belongs to that one."""

        def explain(call: Call) -> Coroutine[Any, Any, Reply]:
            above = current_story.get()
            return self._explained(call, inner) if above is None or above.over else inner(call)

        return explain

    async def _explained(self, call: Call, inner: Handler) -> Reply:
        explainer = self.explainer
        story = Story(explainer.now(), ASKED in call.metadata)
        pace = explainer.paces.get(call.model) or self._pace(call.model)
        token = current_story.set(story)
        pace.in_flight += 1
        if story.asked:
            self._look(call, story)
        try:
            reply = await inner(call)
        except asyncio.CancelledError as error:
            pace.fail()
            if explainer.keeps(story):
                self._look(call, story)
                explainer.failed(story, _asked(call), error, partial(_own_id, call), left=True)
            raise
        except Exception as error:
            pace.fail()
            if explainer.keeps(story):
                if not story.asked:
                    self._look(call, story)
                explainer.failed(story, _asked(call), error, partial(_own_id, call))
                if isinstance(error, InferloomError):
                    error.told = story.trailing
            raise
        finally:
            pace.in_flight -= 1
            story.over = True
            current_story.reset(token)
        now = explainer.now()
        slow = pace.add(now - story.began, now)
        if story.asked:
            explainer.answered(story, _asked(call), reply.trailing, partial(_own_id, call))
            return reply._replace(trailing=(*_without(reply.trailing), *story.trailing))
        if slow and explainer.keeps(story):
            self._look(call, story)
            explainer.answered(story, _asked(call), reply.trailing, partial(_own_id, call))
        return reply

    def _pace(self, model: str) -> Pace:
        return self.explainer.pace(model if model in self._pool.groups else UNKNOWN_MODEL)

    def _look(self, call: Call, story: Story) -> None:
        """At the replicas: before it is sent where that is told to the caller, else when it has ended."""
        tried = {attempt[0].replica.id for attempt in story.attempts}
        group = self._pool.groups.get(story.attempts[-1][2] if story.attempts else call.model)
        if group is not None:
            story.passed_over = passed_over(group, call.version, self.explainer.now(), self._zone, tried)


def _asked(call: Call) -> Asked:
    return Asked(call.model, call.version, call.method, call.metadata)


def _own_id(call: Call) -> str:
    if call.method != MODEL_INFER.path:
        return ""
    try:
        return string_field(call.payload, REQUEST_ID).decode(errors="replace")
    except InvalidInput:
        return ""


def _without(trailing: Metadata) -> Metadata:
    return tuple([pair for pair in trailing if pair[0] != KEY])
