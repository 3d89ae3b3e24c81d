"""What everything is compiled from, as one value that changes: catalog, policies and splits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inferloom.mesh.catalog import EMPTY, Catalog, Model
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.latest import Latest
from inferloom.mesh.policies import Policies
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.split import Split
from inferloom.mesh.xds.split_documents import SplitDocuments

__all__ = ["Feed", "Inputs"]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """One moment. Two are never equal: what `policy` answers may have changed."""

    catalog: Catalog
    policy: Callable[[Model], TrafficPolicy]
    splits: Mapping[str, Split]


class Feed:
    """Follows a started registry.

    Attributes:
        latest: the newest inputs.
    """

    def __init__(self, registry: Registry, clock: Clock = SYSTEM) -> None:
        self.registry = registry
        self.policies = Policies(clock=clock)
        self.splits = SplitDocuments(clock=clock)
        self.latest = Latest(Inputs(EMPTY, self.policies.of, {}))
        self._following: asyncio.Task[None] | None = None

    def problems(self) -> list[tuple[str, str, str]]:
        """(kind, name, why) of documents whose newest version is not in force."""
        both = (("policy", self.policies.problems), ("split", self.splits.problems))
        return [(kind, name, why) for kind, problems in both for name, why in sorted(problems.items())]

    async def start(self) -> None:
        """Returns when policies and splits are known, or do not come."""
        documents = self.registry.documents
        await asyncio.gather(self.policies.start(documents), self.splits.start(documents))
        self.policies.on_change(lambda names: self._publish())
        self.splits.on_change(self._publish)
        self._publish()
        self._following = asyncio.create_task(self._follow(), name="follow the catalog for the edges")

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await asyncio.gather(self.policies.close(), self.splits.close())

    def _publish(self) -> None:
        self.latest.set(Inputs(self.registry.catalog, self.policies.of, dict(self.splits.splits)))

    async def _follow(self) -> None:
        async for catalog in self.registry.watch():
            if catalog is not self.latest.value.catalog:
                self._publish()
