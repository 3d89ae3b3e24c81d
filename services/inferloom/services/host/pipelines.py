"""The pipelines of a host: a Composer, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import Metric

from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.router import Router
from inferloom.services.answerer import Answerer
from inferloom.services.declare.app import StepDeclaration
from inferloom.v1.explain_pb2 import PipelineFigures

__all__ = ["Pipelines", "no_pipelines"]


class Pipelines:
    """Runs a Composer beside the services.

    Args:
        steps: the functions that graphs may name, as they are now.
        changed: called when answerers or problems are others.
    """

    def __init__(
        self,
        registry: Registry,
        router: Router,
        steps: Callable[[], Mapping[str, StepDeclaration]],
        changed: Callable[[], None],
    ) -> None:
        from inferloom.services.composer.composer import Composer

        self._composer: Any = Composer(registry, router, steps, changed=changed)

    @property
    def answerers(self) -> Mapping[str, Answerer]:
        found: Mapping[str, Answerer] = self._composer.answerers()
        return found

    @property
    def problems(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._composer.problems
        return found

    def collect(self) -> Iterable[Metric]:
        """Its metrics."""
        found: Iterable[Metric] = self._composer.collect()
        return found

    def figures(self) -> Iterable[PipelineFigures]:
        """What has run through each of them."""
        found: Iterable[PipelineFigures] = self._composer.figures()
        return found

    async def start(self) -> None:
        await self._composer.start()

    async def close(self) -> None:
        await self._composer.close()


class _None(Pipelines):
    answerers: Mapping[str, Answerer] = {}
    problems: Mapping[str, str] = {}

    def __init__(self) -> None:
        pass

    def collect(self) -> Iterable[Metric]:
        return ()

    def figures(self) -> Iterable[PipelineFigures]:
        return ()

    async def close(self) -> None:
        return


def no_pipelines() -> Pipelines:
    """Of a host that runs services alone."""
    return _None()
