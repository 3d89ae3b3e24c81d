"""What a host's requests went through: for `x-inferloom-explain`, and for `inferloom explain` afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.explain.explainer import Asked, Explainer
from inferloom.mesh.explain.story import ASKED, Story, current_story
from inferloom.services.answerer import Answerer
from inferloom.services.context import CallContext

__all__ = ["Explained"]


class Explained:
    """Has the story told of each request to a service or pipeline of this host."""

    def __init__(self, explainer: Explainer) -> None:
        self._explainer = explainer

    @contextmanager
    def telling(self, metadata: Metadata) -> Iterator[Story]:
        """A block that answers a call of gRPC. When it has ended the story has the trailing metadata, as has the error."""
        story = Story(self._explainer.now(), ASKED in metadata, hosted=True)
        token = current_story.set(story)
        try:
            yield story
        except InferloomError as error:
            error.told = story.trailing
            raise
        finally:
            story.over = True
            current_story.reset(token)

    async def answer(
        self, answerer: Answerer, answer: Awaitable[Any], path: str, request_id: str, context: CallContext
    ) -> Any:
        """Await the answer; keep its story where it fails, is slow, or was asked for."""
        story = current_story.get()
        if story is None or not story.hosted or story.over:  # of another face than gRPC
            with self.telling(context.metadata) as own:
                return await self._answer(own, answerer, answer, path, request_id, context)
        return await self._answer(story, answerer, answer, path, request_id, context)

    async def _answer(
        self,
        story: Story,
        answerer: Answerer,
        answer: Awaitable[Any],
        path: str,
        request_id: str,
        context: CallContext,
    ) -> Any:
        explainer = self._explainer
        asked = Asked(answerer.name, answerer.version, path, context.metadata)
        pace = explainer.pace(answerer.name)
        pace.in_flight += 1
        try:
            reply = await answer
        except asyncio.CancelledError as error:
            pace.fail()
            if explainer.keeps(story):
                explainer.failed(story, asked, error, lambda: request_id, left=True)
            raise
        except Exception as error:
            pace.fail()
            if explainer.keeps(story):
                explainer.failed(story, asked, error, lambda: request_id)
            raise
        finally:
            pace.in_flight -= 1
        now = explainer.now()
        if (pace.add(now - story.began, now) or story.asked) and explainer.keeps(story):
            explainer.answered(story, asked, (), lambda: request_id)
        return reply
